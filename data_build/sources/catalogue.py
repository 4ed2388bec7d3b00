"""Every corpus that can be read: the one table behind ``corpus:`` in a recipe."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from dataclasses import replace

from data_build.drops import Drop
from data_build.records import Clip, Dialogue, Recorded
from data_build.sources import (
    audioset,
    common_voice,
    dialogue,
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
    ALL_ROWS,
    STEP,
    Corpus,
    Report,
    SourceConfig,
    WorkerShard,
    ignore,
    shortened,
)
from soundflow.errors import UserError, nearest

_FAMILIES = (
    speech, common_voice, audioset, sounds, dialogue, manifest, webdataset_tars, huggingface, kaldi,
    lhotse_manifests, streamaudio,
)  # fmt: skip
CORPORA: dict[str, Corpus] = {
    name: corpus for family in _FAMILIES for name, corpus in family.CORPORA.items()
}


def read(
    config: SourceConfig, report: Report, part: int = 0, of: int = 1
) -> Iterator[Clip | Dialogue]:
    """The items of a corpus, in the same order every time; audio stays a reference.

    The parts 0 .. of-1 hold every item exactly once. A ``limit`` cuts the whole corpus first, so
    that the parts together are the same items for any ``of``. Clips of one recording carry the
    same `Clip.group`, independent of speakers.

    Args:
        report: takes a `Drop` for every row that cannot be used, with its file and line.

    Raises:
        UserError: if the corpus is unknown, its root or index is missing, or it holds nothing.
    """
    share = WorkerShard(part, of)
    if config.limit is None:
        yield from _usable(config, share, report)
        return
    # Every part reads the same beginning; only the first one may report its drops.
    first = report if part == 0 else ignore
    items = itertools.islice(_usable(config, ALL_ROWS, first), config.limit)
    yield from itertools.islice(items, share.index, None, share.of)


def _usable(config: SourceConfig, part: WorkerShard, report: Report) -> Iterator[Clip | Dialogue]:
    met = 0

    def counted(drop: Drop) -> None:
        nonlocal met
        met += 1
        report(drop)

    for item in corpus_named(config.corpus).read(config, part, counted):
        met += 1
        if isinstance(item, Dialogue):
            yield item
        elif (fault := _fault(item)) is not None:
            report(Drop(STEP, shortened(item.id), fault))
        else:
            yield replace(item, group=item.group or _recording(item))
    if not met and part == ALL_ROWS:
        chosen = f" of split {config.split!r}" if config.split else ""
        raise UserError(
            f"{config.corpus}: {config.root} holds no row{chosen}", "check root, split and subset"
        )


def _fault(clip: Clip) -> str | None:
    """What is wrong with the text of a clip, if anything is."""
    if any(ord(c) < 32 and not c.isspace() for c in clip.text):
        return "its text holds control characters"
    if clip.kind != "speech" or any(c.isalnum() for c in clip.text):
        return None
    return "its text has no letter or digit" if clip.text else "is speech without a text"


def _recording(clip: Clip) -> str:
    """The recording that a clip is, or is a part of."""
    if not isinstance(clip.audio, Recorded):
        return ""
    return "#".join(filter(None, (os.path.realpath(clip.audio.path), clip.audio.member)))


def corpus_named(name: str) -> Corpus:
    """The corpus of this name.

    Raises:
        UserError: naming the nearest corpus, if there is none.
    """
    if name in CORPORA:
        return CORPORA[name]
    close = nearest(name, CORPORA)
    tail = f"did you mean {close!r}?" if close else f"known: {', '.join(CORPORA)}"
    raise UserError(f"corpus {name!r} is unknown; {tail}", "see docs/sources.md")
