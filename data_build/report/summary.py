"""The summary of a build: stored as JSON with the data, printed at the end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from data_build.collect.collect import Collected
from data_build.statistics import Statistics
from soundflow.protocol.timebase import TimeBase


@dataclass(frozen=True)
class SplitSummary:
    """Counts of one split.

    Attributes:
        abilities: "ability/task" -> streams.
        silences: chunks answered by KEEP_SILENCE.
        limited: streams whose peak was limited.
    """

    streams: int
    hours: float
    abilities: dict[str, int]
    replies: int
    silences: int
    events: int
    limited: int
    n_bytes: int

    @staticmethod
    def of(counted: Statistics, n_bytes: int, time: TimeBase) -> SplitSummary:
        return SplitSummary(
            streams=counted.streams,
            hours=time.seconds(counted.samples) / 3600,
            abilities={name: task.streams for name, task in sorted(counted.tasks.items())},
            replies=counted.replies,
            silences=counted.silences,
            events=counted.events,
            limited=counted.limited,
            n_bytes=n_bytes,
        )


@dataclass(frozen=True)
class BuildSummary:
    """A whole build.

    Attributes:
        drops: "step: reason" -> how many different items, most frequent first.
        refused: class of text -> of how many texts to be spoken no rendering passed the check, and
            how many were to be spoken.
        clips: in the tables of all splits.
        missing: "split/cue" of the cues without a clip in a split.
        notes: what a user of the data should know.
        missed: figures of the audit that miss their limit.
        seconds: wall-clock time of this run; shards that existed already take none.
        speed: seconds of stream made a second, over the shards made in this run.
        bytes_per_hour: of the shards, per hour of stream.
    """

    splits: dict[str, SplitSummary]
    drops: dict[str, int]
    refused: dict[str, tuple[int, int]]
    clips: int
    missing: tuple[str, ...]
    notes: tuple[str, ...]
    missed: tuple[str, ...]
    shards_made: int
    shards_kept: int
    seconds: float
    speed: float | None
    bytes_per_hour: float | None

    @property
    def streams(self) -> int:
        return sum(s.streams for s in self.splits.values())

    @property
    def hours(self) -> float:
        return sum(s.hours for s in self.splits.values())


def summarise(
    splits: Mapping[str, SplitSummary],
    collected: Collected,
    drops: dict[str, int],
    refused: dict[str, tuple[int, int]],
    shards: tuple[int, int],
    made_s: float,
    seconds: float,
    missed: tuple[str, ...],
) -> BuildSummary:
    """The summary of a finished build.

    Args:
        drops, refused: see `BuildSummary`.
        shards: how many were made in this run, and kept from earlier ones.
        made_s: seconds of stream made in this run, which took ``seconds``.
        missed: figures of the audit that miss their limit.
    """
    made, kept = shards
    hours = sum(s.hours for s in splits.values())
    return BuildSummary(
        splits=dict(splits),
        drops=drops,
        refused=refused,
        clips=collected.clips,
        missing=collected.missing,
        notes=collected.notes,
        missed=missed,
        shards_made=made,
        shards_kept=kept,
        seconds=round(seconds, 2),
        speed=round(made_s / seconds, 1) if made else None,
        bytes_per_hour=round(sum(s.n_bytes for s in splits.values()) / hours) if hours else None,
    )
