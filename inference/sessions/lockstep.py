"""One session at the pace of its audio: every chunk is answered before the next one is heard.

How fast the machine is then changes nothing, and neither does how the samples were cut into
packets: the events of a recording are the same everywhere. Files, evaluation and tests use this; a
source that does not wait belongs to `inference.sessions.live`.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from inference.decoder.dialogue_decoder import InTurn
from inference.decoder.policy import ForcedPolicy, Policy
from inference.engine import Engine
from inference.events import SessionEvent, SessionFailed
from inference.limits import Limits, error_of
from inference.packets import as_float32
from inference.sessions.config import SessionConfig
from inference.sessions.executor import Executor

# One chunk at a time through the encoder: products of several round differently.
ALONE = Limits(max_sessions=1, encode_chunks=1)


class Lockstep:
    """A session that computes while it takes packets.

    Args:
        policy: who decides; by default the model.
        clock: monotonic seconds.

    Raises:
        UserError: if the instruction and one answered chunk do not fit into the memory.
    """

    def __init__(
        self,
        engine: Engine,
        config: SessionConfig | None = None,
        policy: Policy | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._clock = clock
        self.executor = Executor(engine, ALONE, InTurn(), clock)
        self._id = self.executor.open(config, clock(), policy)
        self._closed = False

    def push(self, packet: npt.ArrayLike) -> list[SessionEvent]:
        """Takes a packet of mono samples at the stream's rate.

        Args:
            packet: (n,) float in [-1, 1], or int16.

        Returns:
            The events that it caused: none, or the decisions of the chunks it completed and the
            replies that followed.

        Raises:
            RuntimeError: after `close`.
            UserError: if the packet has another type or shape, holds NaN or infinity, or lies
                outside [-1, 1]; if the model computes NaN (`NonFiniteLogitsError`), or the memory
                of the machine is not enough (`OutOfMemoryError`).
        """
        self._require_open()
        self.executor.push(self._id, as_float32(packet), self._clock())
        return self._work()

    def interrupt(self, heard_tokens: int | None = None) -> list[SessionEvent]:
        """Shortens the last reply to what was heard of it. Raises RuntimeError after `close`."""
        self._require_open()
        self.executor.interrupt(self._id, heard_tokens, self._clock())
        return self._work()

    def close(self) -> list[SessionEvent]:
        """Ends the stream: pads its last chunk and decides on it.

        Raises:
            RuntimeError: if the session is closed already.
        """
        self._require_open()
        self._closed = True
        self.executor.close(self._id, self._clock())
        return self._work()

    def _work(self) -> list[SessionEvent]:
        events: list[SessionEvent] = []
        while True:
            tick = self.executor.tick(self._clock())
            for _, event in tick.events:
                if isinstance(event, SessionFailed):
                    self._closed = True
                    raise error_of(event)
                events.append(event)
            if tick.work is None:
                return events

    def _require_open(self) -> None:
        if self._closed:
            raise RuntimeError("the session is closed; open a new one")


def warm_up(engine: Engine) -> None:
    """Runs one chunk of zeros and an empty reply, so that the first real chunk is not slowed by
    what is loaded on first use.
    """
    table = engine.spec.tokens
    session = Lockstep(engine, policy=ForcedPolicy({0: (table.normal, table.text_end)}))
    session.push(np.zeros(engine.spec.time.chunk_samples, np.float32))
    session.close()
