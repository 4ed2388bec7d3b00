"""Every corpus that can be read: the one table behind ``corpus:`` in a recipe."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from data_build.drops import Drop, Report
from data_build.records import Clip, Dialogue, Recorded
from data_build.sources import (
    audioset,
    common_voice,
    dialogue,
    folder,
    huggingface,
    kaldi,
    lhotse_manifests,
    manifest,
    sounds,
    speech,
    streamaudio,
    webdataset_tars,
)
from data_build.sources.source import (
    STEP,
    Corpus,
    SourceConfig,
    shortened,
)
from soundflow.errors import UserError, did_you_mean

_FAMILIES = (
    speech, common_voice, audioset, sounds, dialogue, manifest, folder, webdataset_tars,
    huggingface, kaldi, lhotse_manifests, streamaudio,
)  # fmt: skip
CORPORA: dict[str, Corpus] = {
    name: corpus for family in _FAMILIES for name, corpus in family.CORPORA.items()
}


def read(config: SourceConfig, report: Report) -> Iterator[Clip | Dialogue]:
    """The items of a corpus, in the same order every time; audio stays a reference.

    Clips of one recording carry the same `Clip.group`, independent of speakers.

    Args:
        report: takes a `Drop` for every row that cannot be used, with its file and line.

    Raises:
        UserError: if the corpus is unknown, its root or index is missing, or it holds nothing.
    """
    return itertools.islice(_usable(config, report), config.limit)


def _usable(config: SourceConfig, report: Report) -> Iterator[Clip | Dialogue]:
    met = 0

    def counted(drop: Drop) -> None:
        nonlocal met
        met += 1
        report(drop)

    for item in corpus_named(config.corpus).read(config, counted):
        met += 1
        if isinstance(item, Dialogue):
            yield item
        elif (fault := _fault(item)) is not None:
            report(Drop(STEP, shortened(item.id), fault))
        else:
            yield replace(item, group=item.group or _recording(item))
    if not met:
        chosen = f" of split {config.split!r}" if config.split else ""
        raise UserError(
            f"{config.corpus}: {config.root} holds no row{chosen}", "check root, split and subset"
        )


_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1b]")


def _fault(clip: Clip) -> str | None:
    """What is wrong with the text of a clip, if anything is."""
    if _CONTROL.search(clip.text):
        return "its text holds control characters"
    if clip.kind != "speech" or any(c.isalnum() for c in clip.text):
        return None
    return "its text has no letter or digit" if clip.text else "is speech without a text"


def _recording(clip: Clip) -> str:
    """The recording that a clip is, or is a part of."""
    if not isinstance(clip.audio, Recorded):
        return ""
    path = clip.audio.path
    folder, name = os.path.split(path)
    real = os.path.realpath(path) if Path(path).is_symlink() else f"{_real(folder)}/{name}"
    return "#".join(filter(None, (real, clip.audio.member)))


@lru_cache(maxsize=1024)
def _real(folder: str) -> str:
    """Looked up once for all files in it: a corpus has millions in a few thousand folders."""
    return os.path.realpath(folder)


def corpus_named(name: str) -> Corpus:
    """The corpus of this name.

    Raises:
        UserError: naming the nearest corpus, if there is none.
    """
    if name in CORPORA:
        return CORPORA[name]
    tail = did_you_mean(name, CORPORA)
    raise UserError(f"corpus {name!r} is unknown; {tail}", "see docs/sources.md")
