"""The texts of ``.rules`` files, kept with the tables of a build: a file is expanded once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydantic import TypeAdapter

from data_build.collect.text_rules import written_texts
from data_build.pools.table import TableWriter
from data_build.randomness import digest
from data_build.records import Clip, Dialogue
from data_build.wording.wording import SplitWording

WRITTEN = "written"  # the folder of the kept texts
# Raise when `written_texts` makes other texts of the same file.
_VERSION = 3
_ITEM: TypeAdapter[Clip | Dialogue] = TypeAdapter(Clip | Dialogue)


def kept_texts(
    path: Path, split: SplitWording, seed: int, store: Path, *, keep: bool
) -> Iterator[Clip | Dialogue]:
    """What `written_texts` gives, from ``store`` where an earlier run kept it.

    Args:
        keep: whether it is kept, once all of it was taken.

    Raises:
        UserError: if the file cannot be used.
    """
    about = path.read_bytes() if path.is_file() else b""
    shares = sorted(split.shares.items())
    key = digest(_VERSION, path.name, about, split.wording.key, split.split, shares, seed)
    file = store / f"{key}.jsonl"
    if file.is_file():
        with file.open("rb") as lines:
            yield from map(_ITEM.validate_json, lines)
    elif keep:
        with TableWriter(file) as kept:
            for item in written_texts(path, split, seed):
                kept.add(item)
                yield item
    else:
        yield from written_texts(path, split, seed)
