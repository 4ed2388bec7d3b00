"""The ground truth of a test stream (timing protocol 1.1)."""

from __future__ import annotations

import math
from dataclasses import dataclass

from soundflow.errors import UserError
from soundflow.protocol.timebase import TimeBase
from soundflow.protocol.turns import Event
from soundflow.shards.reader import ShardSet
from soundflow.shards.schema import StreamRecord

UNREADABLE = "unreadable record"


@dataclass(frozen=True)
class Truth:
    """The events of a stream, its length and what it is for.

    Attributes:
        snr_db: level of the foreground over all noise tracks together; None without noise.
        system: the instruction in text that is in force.
    """

    id: str
    n_samples: int
    events: tuple[Event, ...]
    ability: str = ""
    task: str = ""
    snr_db: float | None = None
    system: str = ""

    @property
    def is_negative(self) -> bool:
        """Whether no event in it deserves a reply."""
        return not any(e.must_respond for e in self.events)

    @property
    def wanted(self) -> tuple[int, ...]:
        """Indices of the events that deserve a reply, in the order of `Event.ready_samples`."""
        found = (i for i, e in enumerate(self.events) if e.must_respond)
        return tuple(sorted(found, key=lambda i: self.events[i].ready_samples))

    def silence_before(self, index: int) -> int:
        """Samples between the end of whatever came before an event (or the start) and it."""
        on = self.events[index].on_samples
        ends = (e.end_samples for i, e in enumerate(self.events) if i != index)
        return on - max((min(end, on) for end in ends if end <= on), default=0)


def truth_of(record: StreamRecord) -> Truth:
    """The truth that a built stream carries."""
    noise = [track.snr_db for track in record.noise]
    snr_db = -10.0 * math.log10(sum(10.0 ** (-s / 10.0) for s in noise)) if noise else None
    return Truth(
        record.id, record.n_samples, record.events, record.ability, record.task, snr_db,
        record.system,
    )  # fmt: skip


def truth_at(shards: ShardSet, position: int, time: TimeBase) -> Truth:
    """The truth of a stream, also where its shard is damaged or cut short.

    The index still says at which chunk each reply is due. So a stream that cannot be read counts as
    so many misses, and the denominators stay what they are.

    Raises:
        UserError: if the index or a sidecar is damaged too.
    """
    try:
        return truth_of(shards.record(position))
    except UserError:
        entry = shards.entry(position)
    due = [time.decision_time_samples(turn.chunk) for turn in entry.lengths.turns]
    events = tuple(Event(UNREADABLE, at - 1, at, at, True, ("",)) for at in due)
    return Truth(entry.id, entry.n_samples, events, UNREADABLE, entry.lengths.task)
