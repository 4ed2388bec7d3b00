"""What a build made, in numbers: kept as JSON beside the data, printed at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass

from data_build.drops import Drop
from data_build.pools.pools import Collected
from data_build.shard_job import ShardJob
from soundflow.protocol.timebase import TimeBase
from soundflow.shards.sidecar import ShardInfo

Counted = dict[str, int]  # "step: reason" -> items


@dataclass(frozen=True)
class SplitSummary:
    """Counts of one split.

    Attributes:
        abilities: "ability/task" -> streams.
        silences: chunks answered by KEEP_SILENCE.
        limited: streams whose peak had to be brought down.
    """

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
        drops: "step: reason" -> how many different items.
        clips: in the library of all splits.
        missing: "split/cue" of the cues that no recording fell to.
        seconds: wall-clock time of this run; shards that were there already cost none.
        speed: seconds of stream made a second, over the shards made in this run.
        bytes_per_hour: of the shards, per hour of stream.
    """

    splits: dict[str, SplitSummary]
    drops: Counted
    clips: int
    missing: tuple[str, ...]
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
    shards: Mapping[ShardJob, ShardInfo],
    made: Set[ShardJob],
    drops: Counted,
    collected: Collected,
    seconds: float,
    time: TimeBase,
) -> BuildSummary:
    """Adds up the sidecars of a build."""
    splits = {
        split: _split([info for u, info in shards.items() if u.split == split], time)
        for split in dict.fromkeys(u.split for u in shards)
    }
    hours = sum(s.hours for s in splits.values())
    made_s = time.seconds(sum(e.n_samples for u in made for e in shards[u].samples))
    return BuildSummary(
        splits=splits,
        drops=drops,
        clips=collected.clips,
        missing=collected.missing,
        shards_made=len(made),
        shards_kept=len(shards) - len(made),
        seconds=round(seconds, 2),
        speed=round(made_s / seconds, 1) if made else None,
        bytes_per_hour=round(sum(s.n_bytes for s in splits.values()) / hours) if hours else None,
    )


def count_drops(drops: Iterable[Drop]) -> Counted:
    """ "step: reason" -> count, most frequent first."""
    counts = Counter(f"{d.step}: {d.reason}" for d in drops)
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))


def _split(infos: list[ShardInfo], time: TimeBase) -> SplitSummary:
    tasks: Counter[str] = Counter()
    for info in infos:
        tasks.update(info.extra["tasks"])
    return SplitSummary(
        streams=sum(len(i.samples) for i in infos),
        hours=time.seconds(sum(e.n_samples for i in infos for e in i.samples)) / 3600,
        abilities=dict(sorted(tasks.items())),
        replies=_total(infos, "replies"),
        silences=_total(infos, "silences"),
        events=_total(infos, "events"),
        limited=_total(infos, "limited"),
        n_bytes=sum(i.n_bytes for i in infos),
    )


def _total(infos: list[ShardInfo], field: str) -> int:
    return sum(int(i.extra[field]) for i in infos)
