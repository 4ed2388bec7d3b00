"""The events of a session, as typed values with a JSON form (docs/events.md).

::

    chunk 0        chunk 1        chunk 2
    Decided        Decided        Decided  ReplyStarted  ReplyText ...  ReplyEnded
    (silent)       (silent)       (speak)                                          SessionEnded

Every event has two times. ``time_s`` is stream time: the end of the chunk that the event belongs
to, the same on every machine. ``wall_s`` is compute time: seconds on the machine's clock since the
session was opened; it takes no part in comparisons.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

EndReason = Literal["end", "limit", "repetition", "stopped"]
FailReason = Literal["not_finite", "out_of_memory", "caller"]


@dataclass(frozen=True)
class Decided:
    """The decision after one chunk.

    Attributes:
        p_response: softmax over the two decision logits.
        speak: whether a reply follows.
        stale: newer chunks arrived while the model spoke, so this one is answered by silence
            without a decision of its own.
        arrived_wall_s: when the chunk was complete, on the clock of ``wall_s``; the difference is
            how long the decision took.
    """

    chunk: int
    time_s: float
    p_response: float
    speak: bool
    stale: bool = False
    arrived_wall_s: float = field(default=0.0, compare=False)
    wall_s: float = field(default=0.0, compare=False)


@dataclass(frozen=True)
class ReplyStarted:
    """The first token of a reply: its emotion.

    ``asked``: whether the caller asked for it; otherwise the model spoke by itself.
    """

    chunk: int
    time_s: float
    emotion: str
    asked: bool = False
    wall_s: float = field(default=0.0, compare=False)


@dataclass(frozen=True)
class ReplyText:
    """One text token, and the text that it completes (may be empty)."""

    chunk: int
    time_s: float
    token: int
    text: str
    wall_s: float = field(default=0.0, compare=False)


@dataclass(frozen=True)
class ReplyEnded:
    """A whole reply.

    ``reason``: ended by the model, by a limit in tokens or seconds, because it repeated itself, or
    by the caller; ``text`` is what the memory keeps of it.
    """

    chunk: int
    time_s: float
    emotion: str
    text: str
    reason: EndReason
    wall_s: float = field(default=0.0, compare=False)


@dataclass(frozen=True)
class ReplyTruncated:
    """A reply was interrupted after its end; of it, the memory keeps what was heard, ``text``."""

    chunk: int
    time_s: float
    text: str
    wall_s: float = field(default=0.0, compare=False)


@dataclass(frozen=True)
class ReplyWithdrawn:
    """A reply that the caller had asked for was interrupted before it began."""

    chunk: int
    time_s: float
    wall_s: float = field(default=0.0, compare=False)


@dataclass(frozen=True)
class ChunkDropped:
    """The queue was full: this chunk, the oldest in it, never reached the language model."""

    chunk: int
    time_s: float
    wall_s: float = field(default=0.0, compare=False)


@dataclass(frozen=True)
class MemoryTrimmed:
    """The memory was full: its oldest blocks (a chunk and its answer each) were dropped.

    Attributes:
        chunk: the newest when it happened.
        blocks: how many were dropped: none where a reply alone filled the memory, which then lost
            its middle.
        remembered_s: how many seconds of audio the memory still holds.
    """

    chunk: int
    time_s: float
    blocks: int
    remembered_s: float = 0.0
    wall_s: float = field(default=0.0, compare=False)


@dataclass(frozen=True)
class Overloaded:
    """Decisions are ``late_s`` behind the audio, for the first time since they last kept up."""

    chunk: int
    time_s: float
    late_s: float
    wall_s: float = field(default=0.0, compare=False)


@dataclass(frozen=True)
class SessionFailed:
    """The session cannot go on; `SessionEnded` follows. Others are not affected.

    Attributes:
        reason: the model computed NaN or infinity; the memory of the machine was not enough; or
            what the caller gave or left undone.
        error: the same for people, with what can be done about it.
    """

    chunk: int
    time_s: float
    reason: FailReason
    error: str
    remedy: str
    wall_s: float = field(default=0.0, compare=False)


@dataclass(frozen=True)
class SessionEnded:
    """The stream is over.

    Attributes:
        chunks: how many were encoded.
        time_s: length of what was received, in seconds; the padding of the last chunk not counted.
        n_samples: the same in samples.
        dropped_chunks: how many never reached the language model.
        trimmed_blocks: how many the memory dropped to stay within its limit.
        late_chunks: how many were decided on more than a chunk's length after they were complete,
            those not counted that arrived during a reply.
    """

    chunks: int
    time_s: float
    n_samples: int
    dropped_chunks: int = 0
    trimmed_blocks: int = 0
    late_chunks: int = field(default=0, compare=False)
    wall_s: float = field(default=0.0, compare=False)


SessionEvent = (
    Decided
    | ReplyStarted
    | ReplyText
    | ReplyEnded
    | ReplyTruncated
    | ReplyWithdrawn
    | ChunkDropped
    | MemoryTrimmed
    | Overloaded
    | SessionFailed
    | SessionEnded
)

_NAMES: dict[type[SessionEvent], str] = {
    Decided: "decided",
    ReplyStarted: "reply_started",
    ReplyText: "reply_text",
    ReplyEnded: "reply_ended",
    ReplyTruncated: "reply_truncated",
    ReplyWithdrawn: "reply_withdrawn",
    ChunkDropped: "chunk_dropped",
    MemoryTrimmed: "memory_trimmed",
    Overloaded: "overloaded",
    SessionFailed: "session_failed",
    SessionEnded: "session_ended",
}
_TYPES = {name: kind for kind, name in _NAMES.items()}


def to_json(event: SessionEvent) -> dict[str, Any]:
    """A flat object: ``event`` names the type, the other keys are its fields."""
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
