"""What a system did with one item: its replies, its decisions, or why it has none.

An outcome is all that is kept of a run. It is written as one line of JSON, so that a run can be
resumed and scored again without decoding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

FailureKind = Literal[
    "crash", "time-out", "out of memory", "unreadable audio", "too long",
    "dropped connection", "error event",
]  # fmt: skip


@dataclass(frozen=True)
class Failure:
    """Why an item ended early. ``detail`` is one line with the reason."""

    kind: FailureKind
    detail: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.detail}"


@dataclass(frozen=True)
class Piece:
    """Text that one token completed.

    Attributes:
        at_samples: stream time at which the policy could emit it: the end of the newest chunk that
            had been heard.
        wall_s: seconds of computation from the arrival of that chunk to the token; None where
            it was not measured (many items decoded side by side).
    """

    text: str
    at_samples: int
    wall_s: float | None = field(default=None, compare=False)


@dataclass(frozen=True)
class TimedReply:
    """A reply of a system.

    Attributes:
        at_samples: stream time of its first token (the onset).
        text: the whole reply; None from a system without words, such as a timer.
        pieces: its text token by token, where the system gives it.
    """

    at_samples: int
    text: str | None = None
    emotion: str = ""
    pieces: tuple[Piece, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class Outcome:
    """The replies of a system to one item, in the order in which they began.

    Attributes:
        p_response: for each chunk, from the first, the probability that the system gave to
            speaking; None where no decision was taken. Empty for systems without probabilities.
        failure: a crash, a time-out and so on. What came before it counts, and the item stays in
            every denominator.
        round_trip_s: of the network to a system elsewhere; the times of replies are without it.
    """

    replies: tuple[TimedReply, ...] = ()
    failure: Failure | None = None
    p_response: tuple[float | None, ...] = field(default=(), repr=False)
    round_trip_s: float | None = field(default=None, compare=False)

    @property
    def text(self) -> str:
        """All replies as one text."""
        return " ".join(r.text.strip() for r in self.replies if r.text and r.text.strip())


def failures(ids: Sequence[str], outcomes: Sequence[Outcome], system: str = "") -> tuple[str, ...]:
    """ "item: reason" of every item that failed, behind the name of the system where given."""
    whose = f"{system}, " if system else ""
    return tuple(
        f"{whose}{name}: {outcome.failure}"
        for name, outcome in zip(ids, outcomes, strict=True)
        if outcome.failure
    )
