"""`soundflow convert` for data: our shards in the published forms."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from soundflow.convert.features import chunk_features, write_features
from soundflow.convert.load_any import load_any, locate
from soundflow.convert.options import options_from
from soundflow.errors import UserError
from soundflow.interop.corpus_export import CORPUS_FILE, export_corpus
from soundflow.interop.training_rows import TrainingRow, write_training_rows
from soundflow.protocol.front_end import Maximum
from soundflow.shards.reader import ShardSet
from soundflow.shards.writer import INDEX_NAME

ROWS_FILE = "rows.jsonl"


@dataclass(frozen=True)
class DataOptions:
    """The ``key=value`` words.

    Attributes:
        to: ``streamaudio`` (JSONL and WAV) or ``rows`` (the published training JSONL with the
            encoder's outputs beside it).
        model: whose encoder makes the features of ``rows``: a folder or a hub id.
        maximum: of the log-mel behind these features; ``clip`` as the published builder takes it.
    """

    to: Literal["streamaudio", "rows"]
    model: str | None = None
    maximum: Maximum = "clip"

    def __post_init__(self) -> None:
        if (self.to == "rows") != (self.model is not None):
            raise ValueError(f"model={self.model}: wanted with to=rows, and only there")


def is_data(folder: Path) -> bool:
    """Whether ``folder`` is a split of built data."""
    return (folder / INDEX_NAME).is_file()


def parse_data_options(words: Sequence[str]) -> DataOptions:
    """Raises:
    UserError: naming every word that is unknown or impossible.
    """
    return options_from(words, DataOptions)


def convert_data(source: str | Path, dest: str | Path, options: DataOptions) -> str:
    """Writes a split in a published form, the JSONL last. Returns what was done, in a line.

    Raises:
        UserError: if the split is damaged, the destination is taken, or the model does not fit.
    """
    shards, folder = ShardSet(source), Path(dest)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder}: exists already", "name a new folder, or remove this one")
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        if options.to == "streamaudio":
            count, name = export_corpus(shards, partial), CORPUS_FILE
        else:
            assert options.model is not None
            rows = _rows(shards, partial, options.model, options.maximum)
            count, name = write_training_rows(partial / ROWS_FILE, rows), ROWS_FILE
        if folder.exists():
            folder.rmdir()
        partial.replace(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return f"{count} of {len(shards)} streams written to {folder / name}"


def _rows(shards: ShardSet, folder: Path, model: str, maximum: Maximum) -> Iterator[TrainingRow]:
    checkpoint = load_any(locate(model))
    # The features may be made under another maximum; all else must be what the shards hold.
    front_end = checkpoint.spec.front_end
    spec = replace(shards.spec, front_end=front_end)
    checkpoint.spec.require_same(spec, f"model {model}", f"data {shards.folder}")
    heard_as = replace(shards.spec.front_end, maximum=maximum)
    for position in range(len(shards)):
        sample = shards.read(position)
        place = f"features/{position}" if len(sample.pcm) else None
        if place is not None:
            features = chunk_features(checkpoint.model, sample.audio(), shards.spec.time, heard_as)
            write_features(folder / place, features)
        yield TrainingRow.from_sample(sample, position, shards.spec.tokens, place)
