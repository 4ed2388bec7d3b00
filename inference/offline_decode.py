"""Decodes many finished streams at once, for evaluation and validation.

The same executor as live, with every chunk there from the start and every one decided on. The next
few blocks are computed as if all were answered by silence; what follows a reply is rolled back::

    taken               block 3   block 4   block 5   block 6
    computed together   ▓▓▓▓▓▓▓   ▓▓▓▓▓▓▓   ▓▓▓▓▓▓▓   ▓▓▓▓▓▓▓
    the model speaks after block 4: 5 and 6 are forgotten and taken again after the reply
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf

from torch import Tensor

from inference.dialogue_decoder import InTurn
from inference.engine import Engine
from inference.events import SessionEnded, SessionEvent, SessionFailed
from inference.executor import Executor
from inference.limits import Limits, NonFiniteLogitsError, TimedOutError
from inference.policy import Policy
from inference.scheduler import Decode
from inference.session import SessionConfig
from soundflow.errors import UserError

AHEAD_CHUNKS = 4


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
    timeout_s: float = inf,
    clock: Callable[[], float] = time.monotonic,
) -> list[DecodedStream]:
    """Decodes every stream to its end. One that fails costs the others nothing.

    Args:
        timeout_s: computation that one stream may take; a pass is shared out equally.

    Returns:
        In the order of the streams; with `NonFiniteLogitsError` where the model computed NaN, and
        `TimedOutError` where a stream took too long.

    Raises:
        UserError: if an instruction and one answered chunk do not fit into the memory.
    """
    limits = Limits(
        max_sessions=max(1, len(streams)), listen_chunks=AHEAD_CHUNKS * len(streams) or 1
    )
    executor = Executor(engine, limits, InTurn(AHEAD_CHUNKS))
    events: dict[int, list[SessionEvent]] = {}
    for stream in streams:
        session = executor.open(stream.config, policy=stream.policy)
        events[session] = []
        executor.push_encoded(session, stream.slots)
        executor.close(session)
    errors: dict[int, UserError] = {}
    spent_s = dict.fromkeys(events, 0.0)
    while executor.sessions:
        began_s = clock()
        tick = executor.tick(0.0)
        for session, event in tick.events:
            if isinstance(event, SessionFailed):
                errors.setdefault(session, NonFiniteLogitsError(event.chunk))
            elif not isinstance(event, SessionEnded):
                events[session].append(event)
        if isinstance(tick.work, Decode):
            took_part = [*(session for session, _ in tick.work.listen), *tick.work.speak]
            share_s = (clock() - began_s) / len(took_part)
            for session in took_part:
                spent_s[session] += share_s
                if spent_s[session] > timeout_s and executor.is_open(session):
                    errors[session] = TimedOutError(timeout_s)
                    executor.abort(session, errors[session])
    return [DecodedStream(happened, errors.get(s)) for s, happened in events.items()]
