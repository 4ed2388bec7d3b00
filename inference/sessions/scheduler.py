"""What the executor does next: a pure function of what waits (paper, "Asynchronous inference").

::

    new audio waits             ─▶ Encode     first: the encoder never waits for the decoder
    a chunk or a reply waits    ─▶ Decode     all sessions that can go on, in one pass
    a memory is nearly full     ─▶ Reanchor   only when nothing else is to be done
    nothing                     ─▶ None

In a backlog encoding and decoding take turns, so that a client that sends faster than it speaks
cannot hold up the replies of others. A pass takes one token of every reply, so a chunk that arrives
waits for at most one token.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple


class Waiting(NamedTuple):
    """What one session has to do. A tuple: each piece of work begins with many of them.

    Attributes:
        audio: chunks that wait for the encoder, and when the oldest was complete.
        chunks: encoded chunks that wait for a decision, and when the oldest was complete.
        speaking: whether a reply is in progress; ``chunks`` then wait for its end.
        crowded: whether its memory is nearly full.
    """

    session: int
    audio: int = 0
    oldest_audio_s: float = 0.0
    chunks: int = 0
    oldest_chunk_s: float = 0.0
    speaking: bool = False
    crowded: bool = False

    @property
    def idle(self) -> bool:
        """Whether it waits for audio, and nothing else."""
        return not (self.audio or self.chunks or self.speaking or self.crowded)


@dataclass(frozen=True)
class Encode:
    """Sessions whose oldest chunks are encoded in one batch; a session may be named repeatedly."""

    sessions: tuple[int, ...]


@dataclass(frozen=True)
class Decode:
    """Sessions that share a forward pass: a decision of each in ``listen``, a token of each in
    ``speak``. ``listen`` holds the sessions and how many chunks each may take.
    """

    listen: tuple[tuple[int, int], ...]
    speak: tuple[int, ...]


@dataclass(frozen=True)
class Reanchor:
    """A session whose memory gives up its oldest blocks ahead of need."""

    session: int


Work = Encode | Decode | Reanchor


@dataclass(frozen=True)
class PassLimits:
    """How much one piece of work may take, so that no other waits long.

    ``encode_chunks``: chunks of an encoder batch; ``listen_chunks``: blocks of a forward pass.
    """

    encode_chunks: int = 64
    listen_chunks: int = 64


def next_work(sessions: Sequence[Waiting], limits: PassLimits, last: Work | None) -> Work | None:
    """The next piece of work; None when all of it waits for audio.

    Args:
        last: what was done before.
    """
    decode = _decode(sessions, limits)
    encode = _encode(sessions, limits)
    if encode is not None and (decode is None or not isinstance(last, Encode)):
        return encode
    if decode is not None:
        return decode
    crowded = next((s.session for s in sessions if s.crowded), None)
    return None if crowded is None else Reanchor(crowded)


def _encode(sessions: Sequence[Waiting], limits: PassLimits) -> Encode | None:
    """One chunk of every session in turn, the longest waiting first, until the batch is full."""
    waiting = sorted((s for s in sessions if s.audio), key=lambda s: s.oldest_audio_s)
    chosen: list[int] = []
    depth = 0
    while waiting and len(chosen) < limits.encode_chunks:
        waiting = [s for s in waiting if s.audio > depth]
        chosen += [s.session for s in waiting[: limits.encode_chunks - len(chosen)]]
        depth += 1
    return Encode(tuple(chosen)) if chosen else None


def _decode(sessions: Sequence[Waiting], limits: PassLimits) -> Decode | None:
    """A token of every reply; blocks by their deadline, which is the order of arrival."""
    speak = tuple(s.session for s in sessions if s.speaking)
    ready = [s for s in sessions if s.chunks and not s.speaking]
    ready = sorted(ready, key=lambda s: s.oldest_chunk_s)[: limits.listen_chunks]
    # Equal shares; what a short queue leaves of its share goes to the longer ones.
    spare, granted = limits.listen_chunks, dict[int, int]()
    for at, session in enumerate(sorted(ready, key=lambda s: s.chunks)):
        granted[session.session] = min(session.chunks, spare // (len(ready) - at))
        spare -= granted[session.session]
    listen = tuple((s.session, granted[s.session]) for s in ready)
    return Decode(listen, speak) if listen or speak else None
