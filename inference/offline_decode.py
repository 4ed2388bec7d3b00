"""Decodes many finished streams at once, for evaluation and validation.

The same executor as live, with every chunk there from the start and every one decided on. The next
few blocks are computed as if all were answered by silence; what follows a reply is rolled back::

    taken               block 3   block 4   block 5   block 6
    computed together   ▓▓▓▓▓▓▓   ▓▓▓▓▓▓▓   ▓▓▓▓▓▓▓   ▓▓▓▓▓▓▓
    the model speaks after block 4: 5 and 6 are forgotten and taken again after the reply
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from inference.dialogue_decoder import InTurn
from inference.engine import Engine
from inference.events import SessionEnded, SessionEvent
from inference.executor import Executor
from inference.limits import Limits
from inference.policy import Policy
from inference.session import SessionConfig

AHEAD_CHUNKS = 4


@dataclass(frozen=True)
class OfflineStream:
    """A finished stream: its encoded chunks (n, slots, d), its settings, and who decides."""

    slots: Tensor
    config: SessionConfig
    policy: Policy | None = None


def decode_streams(engine: Engine, streams: Sequence[OfflineStream]) -> list[list[SessionEvent]]:
    """The events of every stream, as its own session would give them.

    A stream whose logits are NaN ends in `SessionFailed`; the others go on.

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
    while executor.sessions:
        for session, event in executor.tick(0.0).events:
            if not isinstance(event, SessionEnded):
                events[session].append(event)
    return list(events.values())
