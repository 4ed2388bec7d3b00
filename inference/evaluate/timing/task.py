"""When a model speaks, on streams of built data: the timing protocol as a `Task`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

import numpy as np

from inference.evaluate.outcome import Outcome
from inference.evaluate.systems import baselines
from inference.evaluate.systems.baselines import Baseline, SilenceTimer
from inference.evaluate.systems.voice_activity import VoiceActivity, is_installed
from inference.evaluate.task import Item, Summary
from inference.evaluate.timing.baselines import oracles
from inference.evaluate.timing.metrics import figures, signature_of
from inference.evaluate.timing.rows import TimingRow, row_of, windows_of
from inference.evaluate.timing.truth import Truth, truth_at
from inference.sources.recordings import Recording, built_stream
from soundflow.errors import UserError
from soundflow.protocol.timebase import TimeBase
from soundflow.shards.reader import ShardSet

T = TypeVar("T")
TIMER = "silence timer"
VAD = "VAD timer"
NEGATIVE_PREFIX = "negatives/"


@dataclass(frozen=True)
class TimingTask:
    """The online streams of one or several splits.

    Attributes:
        streams: (split, position in it) of every stream.
        window_s: how late a reply may come.
        negatives: that of the splits whose streams are all silence-only; their ids get a prefix.
        timer: the settings of the silence timer.
        reply_rate: of the random baseline, replies a chunk.
    """

    streams: Sequence[tuple[ShardSet, int]]
    time: TimeBase
    window_s: float = 2.0
    negatives: ShardSet | None = None
    timer: SilenceTimer | None = None
    reply_rate: float = 0.0
    seed: int = 0
    threshold: float | None = None
    name: str = "timing"
    title: str = "When it speaks"
    lead: str = ""
    row_type: type[TimingRow] = field(default=TimingRow, repr=False)

    @property
    def silence_timer(self) -> SilenceTimer:
        return self.timer or SilenceTimer(self.time)

    def items(self) -> list[Item[Truth]]:
        """Reads the records, not the audio.

        Raises:
            UserError: if a negative holds an event to answer.
        """
        found = []
        for shards, position in self.streams:
            truth = truth_at(shards, position, self.time)
            name = truth.id
            if shards is self.negatives:
                name = NEGATIVE_PREFIX + name
                if not truth.is_negative:
                    raise UserError(
                        f"{shards.folder}: {truth.id} holds an event to answer",
                        "timing.negatives takes a build of silence-only streams",
                    )
            open_it = partial(open_stream, shards, position, self.time)
            found.append(Item(name, truth.n_samples, open_it, truth))
        return found

    def baselines(self) -> list[Baseline[Truth]]:
        """Never, always, random, the timer, voice activity where installed, and the oracles."""
        time = self.time
        found: list[Baseline[Truth]] = [
            baselines.never(),
            baselines.always(time),
            baselines.random(time, self.reply_rate, self.seed),
            baselines.listening(TIMER, self.silence_timer),
        ]
        if is_installed():
            found.append(baselines.listening(VAD, VoiceActivity(time)))
        return [*found, *oracles(time)]

    def score(self, item: Item[Truth], outcome: Outcome) -> TimingRow:
        return row_of(item.reference, outcome, self.time, windows_of(self.time, self.window_s))

    def summarise(self, rows: Sequence[TimingRow]) -> Summary:
        return Summary(figures(rows, signature_of(self.time, self.window_s)))

    def right(self, row: TimingRow) -> tuple[bool, ...]:
        """Whether each event to answer got its reply in time."""
        return row.answered


def open_stream(shards: ShardSet, position: int, time: TimeBase) -> Recording:
    return built_stream(shards.read(position), time.chunk_samples)


def online_positions(shards: ShardSet, at_most: int | None, seed: int = 0) -> list[int]:
    """Positions of online streams: all, or a seeded choice of ``at_most``, in order.

    Raises:
        UserError: if there is none.
    """
    found = np.flatnonzero(shards.lengths.is_kind("online")).tolist()
    if not found:
        raise UserError(f"{shards.folder}: holds no online stream", "choose another split")
    return seeded_choice(found, at_most, seed)


def seeded_choice(found: Sequence[T], at_most: int | None, seed: int) -> list[T]:
    """All of them, or a choice of ``at_most``, in order."""
    if at_most is None or at_most >= len(found):
        return list(found)
    rng = np.random.Generator(np.random.PCG64(seed))
    return [found[k] for k in sorted(rng.choice(len(found), size=at_most, replace=False))]


def reply_rate(truths: Sequence[Truth], time: TimeBase) -> float:
    """Replies per chunk in the ground truth."""
    chunks = sum(time.chunks_in(t.n_samples) for t in truths)
    wanted = sum(len(t.wanted) for t in truths)
    return wanted / chunks if chunks else 0.0
