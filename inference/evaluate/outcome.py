"""The ground truth of a test stream and the replies of a system to it."""

from __future__ import annotations

from dataclasses import dataclass

from inference.evaluate.triggers import Onset
from soundflow.protocol.turns import Event


@dataclass(frozen=True)
class Truth:
    """The events of a stream, its length and what it is for (timing protocol 1.1)."""

    id: str
    n_samples: int
    events: tuple[Event, ...]
    ability: str = ""
    task: str = ""

    @property
    def is_negative(self) -> bool:
        """Whether no event in it deserves a reply."""
        return not any(e.must_respond for e in self.events)


@dataclass(frozen=True)
class Outcome:
    """The replies of a system to one stream, in the order in which they began.

    ``failure`` names a crash or a time-out. The replies before it count; the stream's length and
    events stay in every denominator.
    """

    onsets: tuple[Onset, ...] = ()
    failure: str | None = None
