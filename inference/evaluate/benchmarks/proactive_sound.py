"""Proactive-Sound-Bench: which everyday sounds deserve a reply, and which do not.

644 clips, 377 to ignore and 267 to respond to, of 6 domains and 17 sub-categories (Xie et al. 2026,
arXiv 2606.05121). Two tiers::

    single      ▓▓▓▓▓▓|··pause··|
    multiple    ▓▓▓▓▓▓|··pause··|▓▓▓▓|··pause··|▓▓▓▓▓|··pause··|    clips of one sub-category

A clip is responded to if a reply begins between its start and the start of the next one.

Neither the data set nor its scoring code is in the repository of the paper; the counts above are
from its text. Therefore the columns are settings, the multiple tier is made here from the
clips of the single one, and "official" stands for accuracy over the clips with an answer. Beside
it, over *all* clips: a clip whose item failed is wrong, whatever its label.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
import pydantic.dataclasses
from annotated_types import Interval

from inference.evaluate.audio_items import AudioSource, length_samples
from inference.evaluate.outcome import Outcome
from inference.evaluate.published import read_rows
from inference.evaluate.settings import BenchmarkConfig, Pause
from inference.evaluate.statistics.counts import share
from inference.evaluate.statistics.figures import Draws, Figure, statistic
from inference.evaluate.systems import baselines
from inference.evaluate.systems.baselines import Baseline
from inference.evaluate.task import Item, Summary, Table
from inference.sources.recordings import Recording
from soundflow.audio.files import read_audio
from soundflow.config.settings import SETTINGS
from soundflow.errors import UserError
from soundflow.protocol.timebase import TimeBase

Tier = Literal["single", "multiple"]
LABELS = {"RESPOND": True, "IGNORE": False}


@pydantic.dataclasses.dataclass(frozen=True, config=SETTINGS, kw_only=True)
class ProactiveSoundConfig(BenchmarkConfig):
    """Proactive-Sound-Bench.

    Attributes:
        data: a folder, or the id of a hub repository.
        tiers: clips one by one, or ``clips_together`` of one sub-category in one stream.
        pause_s: silence after every clip, in which it can be answered.
        system: the instruction; None takes the checkpoint's own.
        id_column, label_column, domain_column, category_column: of the data set. Labels are
            RESPOND and IGNORE; where there is no column of ids, clips are numbered.
    """

    split: str = "test"
    tiers: tuple[Tier, ...] = ("single", "multiple")
    clips_together: Annotated[int, Interval(ge=2, le=20)] = 5
    pause_s: Pause = 2.0
    system: str | None = None
    id_column: str = "id"
    label_column: str = "label"
    domain_column: str = "domain"
    category_column: str = "sub_category"


@dataclass(frozen=True)
class Sound:
    """A clip in a stream; from ``start_samples`` on, replies are to it."""

    id: str
    respond: bool
    domain: str
    category: str
    start_samples: int


@dataclass(frozen=True)
class Verdict:
    """``responded`` is None where the item failed: wrong either way."""

    id: str
    respond: bool
    responded: bool | None
    domain: str
    category: str

    @property
    def right(self) -> bool:
        return self.responded == self.respond

    @property
    def claimed(self) -> bool:
        """Whether it counts as a reply: a failure does where none was due."""
        return not self.respond if self.responded is None else self.responded


@dataclass(frozen=True)
class ProactiveSoundRow:
    """The clips of one stream."""

    clips: tuple[Verdict, ...]


@dataclass(frozen=True)
class ProactiveSoundTask:
    """See the top of this module."""

    config: ProactiveSoundConfig
    tier: Tier
    time: TimeBase
    threshold: float | None = None
    lead: str = (
        "Sounds that deserve a reply, and sounds that do not. A system that never replies gets the "
        "share of the latter: 58.5 % of the published set. A failed clip is wrong; only the "
        "official figure leaves it out."
    )
    row_type: type[ProactiveSoundRow] = field(default=ProactiveSoundRow, repr=False)

    @property
    def name(self) -> str:
        return f"proactive_sound_{self.tier}"

    @property
    def title(self) -> str:
        together = "clips one by one" if self.tier == "single" else "several clips in a stream"
        return f"Proactive-Sound-Bench, {together}"

    def items(self) -> list[Item[tuple[Sound, ...]]]:
        clips = self._clips()
        if self.tier == "single":
            found = [self._item(clip.sound.id, [clip]) for clip in clips]
        else:
            ordered = sorted(clips, key=lambda c: (c.sound.domain, c.sound.category))
            found = [
                self._item(f"{'-'.join(category)}-{k:03d}", group)
                for category, mine in itertools.groupby(
                    ordered, key=lambda c: (c.sound.domain, c.sound.category)
                )
                for k, group in enumerate(_groups(list(mine), self.config.clips_together))
            ]
        return found[: self.config.max_items]

    def baselines(self) -> list[Baseline[tuple[Sound, ...]]]:
        return [baselines.never(), baselines.always(self.time)]

    def score(self, item: Item[tuple[Sound, ...]], outcome: Outcome) -> ProactiveSoundRow:
        sounds = item.reference
        onsets = [r.at_samples for r in outcome.replies]
        ends = [*(s.start_samples for s in sounds[1:]), None]
        verdicts = []
        for sound, end in zip(sounds, ends, strict=True):
            heard = any(sound.start_samples < at and (end is None or at <= end) for at in onsets)
            responded = None if outcome.failure is not None else heard
            verdicts.append(
                Verdict(sound.id, sound.respond, responded, sound.domain, sound.category)
            )
        return ProactiveSoundRow(tuple(verdicts))

    def summarise(self, rows: Sequence[ProactiveSoundRow]) -> Summary:
        signature = (
            f"proactive-sound:1|tier:{self.tier}|pause:{self.config.pause_s:g}s|"
            f"chunk:{self.time.chunk_s:g}s|failed:wrong"
        )
        if self.tier == "multiple":
            signature += f"|clips:{self.config.clips_together}"
        figures = _figures(rows)
        official = _share(rows, lambda v: v.right, lambda v: v.responded is not None)
        signed = {name: f.signed(signature) for name, f in figures.items()}
        over = signature.replace("failed:wrong", "failed:left out")
        return Summary(
            {"official_accuracy": official.signed(over), **signed},
            (
                _table("By domain", rows, lambda v: (v.domain,)),
                _table("By sub-category", rows, lambda v: (v.domain, v.category)),
            ),
        )

    def right(self, row: ProactiveSoundRow) -> tuple[bool, ...]:
        return tuple(v.right for v in row.clips)

    def predictions(
        self, items: Sequence[Item[tuple[Sound, ...]]], rows: Sequence[ProactiveSoundRow]
    ) -> tuple[str, str]:
        """A line for each clip: its id and RESPOND, IGNORE or null (no answer)."""
        said = {True: "RESPOND", False: "IGNORE", None: None}
        lines = [
            {"id": v.id, "prediction": said[v.responded], "label": said[v.respond]}
            for row in rows
            for v in row.clips
        ]
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        return f"{self.name}.jsonl", text

    def _clips(self) -> list[_Clip]:
        c = self.config
        wanted = [c.label_column, c.domain_column, c.category_column]
        found = []
        for number, row in enumerate(read_rows(c.data, wanted, split=c.split)):
            name = str(row.fields.get(c.id_column) or f"{number:04d}")
            label = str(row.fields[c.label_column]).strip().upper()
            if label not in LABELS:
                raise UserError(
                    f"{c.data}: clip {name}: {c.label_column} is {label!r}",
                    "labels are RESPOND and IGNORE",
                )
            domain, category = (str(row.fields[k]) for k in (c.domain_column, c.category_column))
            found.append(_Clip(Sound(name, LABELS[label], domain, category, 0), row.audio))
        return found

    def _item(self, name: str, clips: Sequence[_Clip]) -> Item[tuple[Sound, ...]]:
        pause = self.time.samples(self.config.pause_s)
        sounds, at = [], 0
        for clip in clips:
            s = clip.sound
            sounds.append(Sound(s.id, s.respond, s.domain, s.category, at))
            at += length_samples(clip.audio()) + pause

        def opened() -> Recording:
            blocks = _joined(clips, pause)
            return Recording(name, blocks, self.config.system, pause_s=0.0)

        return Item(name, at, opened, tuple(sounds), self.config.system)


@dataclass(frozen=True)
class _Clip:
    sound: Sound
    audio: AudioSource


def _joined(clips: Sequence[_Clip], pause: int) -> Iterator[npt.NDArray[np.float32]]:
    for clip in clips:
        yield read_audio(clip.audio(), name=clip.sound.id)
        yield np.zeros(pause, np.float32)


def _groups(clips: list[_Clip], size: int) -> Iterator[list[_Clip]]:
    for start in range(0, len(clips), size):
        yield clips[start : start + size]


Which = Callable[[Verdict], bool]


def _figures(rows: Sequence[ProactiveSoundRow]) -> dict[str, Figure]:
    return {
        "accuracy": _share(rows, lambda v: v.right, lambda v: True),
        "balanced_accuracy": _balanced(rows),
        "precision": _share(rows, lambda v: v.respond, lambda v: v.claimed),
        "recall": _share(rows, lambda v: v.right, lambda v: v.respond),
        "always_ignore_accuracy": _share(rows, lambda v: not v.respond, lambda v: True),
    }


def _count(rows: Sequence[ProactiveSoundRow], which: Which) -> list[int]:
    return [sum(map(which, row.clips)) for row in rows]


def _share(rows: Sequence[ProactiveSoundRow], of: Which, among: Which) -> Figure:
    """Clips of one stream depend on each other, so streams are resampled."""
    right = _count(rows, lambda v: among(v) and of(v))
    return share(right, _count(rows, among), Draws.of(len(rows)))


def _balanced(rows: Sequence[ProactiveSoundRow]) -> Figure:
    """The mean of the accuracies on both labels; null where one of them is missing."""
    if not rows:
        return Figure(None)
    columns = [
        _count(rows, lambda v: v.respond and v.right),
        _count(rows, lambda v: v.respond),
        _count(rows, lambda v: not v.respond and v.right),
        _count(rows, lambda v: not v.respond),
        [len(row.clips) for row in rows],
    ]
    return statistic(
        columns,
        lambda hit, due, kept, quiet, n: (hit / due + kept / quiet) / 2,
        Draws.of(len(rows)),
    )


def _table(
    title: str, rows: Sequence[ProactiveSoundRow], key: Callable[[Verdict], tuple[str, ...]]
) -> Table:
    keys = sorted({key(v) for row in rows for v in row.clips})
    lines: list[tuple[str | Figure, ...]] = []
    for wanted in keys:
        mine = [
            ProactiveSoundRow(kept)
            for row in rows
            if (kept := tuple(v for v in row.clips if key(v) == wanted))
        ]
        found = _figures(mine)
        lines.append(
            (
                " / ".join(wanted),
                str(sum(_count(mine, lambda v: True))),
                str(sum(_count(mine, lambda v: v.respond))),
                *(found[k] for k in ("accuracy", "balanced_accuracy", "precision", "recall")),
            )
        )
    head = ("", "clips", "to respond", "accuracy", "balanced accuracy", "precision", "recall")
    return Table(title, head, tuple(lines))
