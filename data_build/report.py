"""What a build made, in numbers: kept as JSON beside the data, printed at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from soundflow.shards.writer import ShardInfo


@dataclass(frozen=True)
class SplitSummary:
    """Counts of one split. ``silences`` are chunks answered by KEEP_SILENCE."""

    streams: int
    hours: float
    abilities: dict[str, int]
    replies: int
    silences: int
    events: int
    limited: int
    n_bytes: int


@dataclass(frozen=True)
class BuildSummary:
    """A whole build.

    Attributes:
        drops: "step: reason" -> how many items.
        seconds: wall-clock time of this run; shards that were there already cost none.
        speed: hours of stream made an hour of wall-clock, over the shards made in this run.
        bytes_per_hour: of the shards, per hour of stream.
    """

    splits: dict[str, SplitSummary]
    drops: dict[str, int]
    clips: int
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


def summarise_split(shards: Iterable[ShardInfo], sample_rate_hz: int) -> SplitSummary:
    """Adds up the sidecars of a split."""
    infos = list(shards)
    abilities: Counter[str] = Counter()
    for info in infos:
        abilities.update(info.extra["abilities"])
    total = sum(e.n_samples for i in infos for e in i.samples)
    return SplitSummary(
        streams=sum(len(i.samples) for i in infos),
        hours=total / sample_rate_hz / 3600,
        abilities=dict(sorted(abilities.items())),
        replies=_sum(infos, "replies"),
        silences=_sum(infos, "silences"),
        events=_sum(infos, "events"),
        limited=_sum(infos, "limited"),
        n_bytes=sum(i.n_bytes for i in infos),
    )


def count_drops(drops: Iterable[dict[str, Any]]) -> dict[str, int]:
    """ "step: reason" -> count, most frequent first."""
    counts = Counter(f"{d['step']}: {d['reason']}" for d in drops)
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))


def _sum(infos: list[ShardInfo], field: str) -> int:
    return sum(int(i.extra[field]) for i in infos)
