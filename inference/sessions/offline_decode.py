"""Decodes many finished streams at once, for evaluation and validation.

The same executor as live, with every chunk there from the start and every one decided on. The next
few blocks are computed as if all were answered by silence, the more of them the longer it has been
silent; what follows a reply is rolled back::

    taken               block 3   block 4   block 5   block 6
    computed together   ▓▓▓▓▓▓▓   ▓▓▓▓▓▓▓   ▓▓▓▓▓▓▓   ▓▓▓▓▓▓▓
    the model speaks after block 4: 5 and 6 are forgotten and taken again after the reply
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from math import inf

from torch import Tensor

from inference.decoder.dialogue_decoder import InTurn
from inference.decoder.policy import Policy
from inference.engine import Engine
from inference.events import SessionEnded, SessionEvent, SessionFailed
from inference.limits import Limits, TimedOutError, error_of
from inference.sessions.config import SessionConfig
from inference.sessions.executor import Executor
from inference.sessions.scheduler import Decode
from soundflow.errors import UserError

AHEAD_CHUNKS = 8


@dataclass(frozen=True)
class OfflineStream:
    """A finished stream: its encoded chunks (n, slots, d), its settings, and who decides."""

    slots: Tensor
    config: SessionConfig
    policy: Policy | None = None


@dataclass(frozen=True)
class DecodedStream:
    """The events of a stream, as its own session would give them, and why it ended early."""

    events: list[SessionEvent]
    error: UserError | None = None


def decode_streams(
    engine: Engine,
    streams: Sequence[OfflineStream],
    at_once: int,
    timeout_s: float = inf,
    poll: Callable[[], None] = lambda: None,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[tuple[int, DecodedStream]]:
    """Decodes every stream to its end. One that fails costs the others nothing.

    Args:
        at_once: streams side by side; where one ends, the next takes its place at once.
        timeout_s: computation that one stream may take; a pass is shared out equally.
        poll: called before every pass; what it raises ends the decoding.

    Yields:
        The place of each stream among ``streams`` and what it gave, as soon as it ends; with
        `NonFiniteLogitsError` where the model computed NaN, `OutOfMemoryError` where a stream does
        not fit alone, and `TimedOutError` where it took too long. They are opened in order, so
        those in progress are the first that are missing.

    Raises:
        UserError: if an instruction and one answered chunk do not fit into the memory.
    """
    rows = max(1, min(at_once, len(streams)))
    limits = Limits(max_sessions=rows, listen_chunks=AHEAD_CHUNKS * rows)
    executor = Executor(engine, limits, InTurn(AHEAD_CHUNKS))
    waiting = deque(enumerate(streams))
    decoding: dict[int, _Decoding] = {}
    while waiting or decoding:
        while waiting and executor.sessions < rows:
            place, stream = waiting.popleft()
            session = executor.open(stream.config, policy=stream.policy)
            executor.push_encoded(session, stream.slots)
            executor.close(session)
            decoding[session] = _Decoding(place)
        poll()
        began_s = clock()
        tick = executor.tick(0.0)
        if isinstance(tick.work, Decode):
            took_part = [*(session for session, _ in tick.work.listen), *tick.work.speak]
            share_s = (clock() - began_s) / len(took_part)
            for session in took_part:
                decoding[session].spent_s += share_s
                if decoding[session].spent_s > timeout_s and executor.is_open(session):
                    decoding[session].error = TimedOutError(timeout_s)
                    executor.abort(session, decoding[session].error)
        for session, event in tick.events:
            match event:
                case SessionEnded():
                    ended = decoding.pop(session)
                    yield ended.place, DecodedStream(ended.events, ended.error)
                case SessionFailed():
                    one = decoding[session]
                    one.error = one.error or error_of(event)
                case _:
                    decoding[session].events.append(event)


@dataclass
class _Decoding:
    """A stream in progress."""

    place: int
    events: list[SessionEvent] = field(default_factory=list)
    spent_s: float = 0.0
    error: UserError | None = None
