"""What a session tells its listener, as typed, JSON-able values.

::

    chunk 0        chunk 1        chunk 2
    Decided        Decided        Decided  ReplyStarted  ReplyText ...  ReplyEnded
    (listening)    (listening)    (speak)                                          SessionEnded

``chunk`` is the stream's own clock (policy); ``clock_s`` is the machine's, seconds since the
session began (policy and compute together), and takes no part in comparisons.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

EndReason = Literal["end", "limit", "stopped"]


@dataclass(frozen=True)
class Decided:
    """The decision after one chunk.

    ``p_response`` is the softmax over the two decision logits. ``stale`` marks a chunk that newer
    ones overtook while the model spoke: it is answered by silence without being asked, and its
    ``p_response`` is None where the memory forgot it before it was looked at. ``arrived_s`` is when
    the chunk was complete, so ``clock_s - arrived_s`` is how long the decision took.
    """

    chunk: int
    p_response: float | None
    speak: bool
    stale: bool = False
    arrived_s: float = field(default=0.0, compare=False)
    clock_s: float = field(default=0.0, compare=False)


@dataclass(frozen=True)
class ReplyStarted:
    """The first token of a turn: its emotion."""

    chunk: int
    emotion: str
    clock_s: float = field(default=0.0, compare=False)


@dataclass(frozen=True)
class ReplyText:
    """One text token, and the text that became complete with it (may be empty)."""

    chunk: int
    token: int
    text: str
    clock_s: float = field(default=0.0, compare=False)


@dataclass(frozen=True)
class ReplyEnded:
    """A whole turn. ``reason``: the model ended it, the token limit, or a stop from outside."""

    chunk: int
    emotion: str
    text: str
    reason: EndReason
    clock_s: float = field(default=0.0, compare=False)


@dataclass(frozen=True)
class SessionEnded:
    """The stream is over: chunks heard and samples received (padding not counted)."""

    chunks: int
    n_samples: int
    clock_s: float = field(default=0.0, compare=False)


SessionEvent = Decided | ReplyStarted | ReplyText | ReplyEnded | SessionEnded

_NAMES: dict[type[SessionEvent], str] = {
    Decided: "decided",
    ReplyStarted: "reply_started",
    ReplyText: "reply_text",
    ReplyEnded: "reply_ended",
    SessionEnded: "session_ended",
}
_TYPES = {name: kind for kind, name in _NAMES.items()}


def to_json(event: SessionEvent) -> dict[str, Any]:
    return {"event": _NAMES[type(event)], **asdict(event)}


def from_json(data: dict[str, Any]) -> SessionEvent:
    """The inverse of `to_json`.

    Raises:
        ValueError: if the event or a field is not one of ours.
    """
    fields = dict(data)
    try:
        return _TYPES[fields.pop("event")](**fields)
    except (KeyError, TypeError) as error:
        raise ValueError(f"not a session event: {data}") from error
