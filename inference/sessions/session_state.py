"""What an executor keeps of one session, and what it tells of it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from torch import Tensor

from inference.decoder.chunk_queue import ChunkQueue, EncodedChunk
from inference.decoder.dialogue_decoder import DialogueDecoder, InTurn, Order
from inference.decoder.policy import ModelPolicy, Policy
from inference.engine import Engine
from inference.events import (
    ChunkDropped,
    Decided,
    MemoryTrimmed,
    Overloaded,
    SessionEnded,
    SessionEvent,
    SessionFailed,
)
from inference.limits import reason_of
from inference.passes.sampler import Draw
from inference.sessions.audio_frontend import AudioFrontend, open_frontend
from inference.sessions.config import Respond, SessionConfig
from inference.sessions.memory import SessionMemory
from inference.sessions.scheduler import Waiting
from inference.sessions.session_row import SessionRow
from soundflow.audio.frontend import Chunk
from soundflow.errors import UserError
from soundflow.protocol.dialogue_state import Speaking
from soundflow.protocol.timebase import TimeBase

# Audio further ahead of the clock than this was not recorded while a reply was spoken, whenever it
# arrived: packets are shorter. The clock of a sound card is less wrong than ``DRIFT``.
AHEAD_S, DRIFT = 2.0, 1.02
AT_ONCE_S = 30.0  # of audio that waits for its decisions; beyond that the oldest is dropped


class SharedClock:
    """The caller's clock, or the time of the last call without one. Sessions hold it instead of the
    executor: in a cycle, the pool of one that was dropped would wait for the garbage collector.
    """

    def __init__(self, given: Callable[[], float] | None) -> None:
        self._given = given
        self.now = 0.0

    def __call__(self) -> float:
        return self.now if self._given is None else self._given()


class ArrivedChunk(NamedTuple):
    """Audio that is complete: since when, and whether it was recorded during a reply."""

    audio: Chunk
    arrived_s: float
    during_reply: bool


@dataclass
class SessionState:
    """One session.

    Attributes:
        row: what it remembers.
        opened_s: on the clock of the executor; ``clock`` counts from there.
        config: of the session, whatever the reply in progress has of its own.
        given_policy: what decides in place of the model's own, if the caller brought it.
        asked: what the caller asked for that has not begun.
        replying: what the reply in progress was asked for with.
        audio: chunks that wait for the encoder.
        spoke_until_s: when its last reply token was drawn.
        ahead_s: how much more audio arrived of late than a microphone would have sent by
            ``heard_at_s``.
    """

    id: int
    row: SessionRow
    opened_s: float
    clock: Callable[[], float]
    time: TimeBase
    frontend: AudioFrontend
    decoder: DialogueDecoder
    queue: ChunkQueue
    config: SessionConfig
    rng: np.random.Generator
    given_policy: Policy | None
    asked: Respond = field(default_factory=Respond)
    replying: Respond | None = None
    audio: deque[ArrivedChunk] = field(default_factory=deque)
    chunks: int = 0
    dropped: int = 0
    late: int = 0
    overloaded: bool = False
    spoke_until_s: float = 0.0
    ahead_s: float = 0.0
    heard_at_s: float = 0.0
    closing: bool = False

    @property
    def memory(self) -> SessionMemory:
        return self.row.memory

    @property
    def speaking(self) -> bool:
        return isinstance(self.decoder.state, Speaking)

    @property
    def finished(self) -> bool:
        """Whether its stream is over and everything in it answered."""
        return self.closing and not self.audio and not len(self.queue) and not self.speaking

    def waiting(self, *, in_turn: bool) -> Waiting:
        """Its part in the schedule.

        Args:
            in_turn: audio waits for the end of a reply (what the FIFO is measured against), and the
                memory is trimmed with a decision only.
        """
        speaking = self.speaking
        audio = 0 if in_turn and speaking else len(self.audio)
        return Waiting(
            self.id,
            audio,
            self.opened_s + self.audio[0].arrived_s if audio else 0.0,
            len(self.queue),
            self.opened_s + (self.queue.oldest_wall_s or 0.0),
            speaking,
            not in_turn and self.memory.crowded,
        )

    def next_draw(self) -> Draw:
        """How the next token of its reply is drawn."""
        state = self.decoder.state
        first = isinstance(state, Speaking) and state.said == 0
        return Draw(self.decoder.sampling, float(self.rng.random()), emotion=first)

    def arrived(
        self, chunks: Sequence[Chunk], now: float, during_reply: bool | None = None
    ) -> None:
        """Takes chunks that are complete at ``now``."""
        self.ahead_s = max(0.0, self.ahead_s - DRIFT * (now - self.heard_at_s))
        self.heard_at_s = now
        for chunk in chunks:
            self.ahead_s += self.time.chunk_s
            during = self.speaking and self.ahead_s <= AHEAD_S
            if during_reply is not None:
                during = during_reply
            self.audio.append(ArrivedChunk(chunk, now - self.opened_s, during))

    def enqueue(
        self, slots: Tensor, arrived_s: float, during_reply: bool = False
    ) -> list[SessionEvent]:
        """Puts a chunk into the queue of the decoder."""
        dropped = self.queue.put(EncodedChunk(self.chunks, slots, arrived_s, during_reply))
        self.chunks += 1
        if dropped is None:
            return []
        self.dropped += 1
        return [ChunkDropped(dropped.index, self.time.end_s(dropped.index), self.clock())]

    def account(self, events: Sequence[SessionEvent], overload_s: float) -> list[SessionEvent]:
        """Counts decisions that came too late, and tells when the session falls behind."""
        told: list[SessionEvent] = []
        now_s = self.clock()
        for event in events:
            if not isinstance(event, Decided):
                continue
            # A chunk that arrived during a reply could not be decided on before its end.
            late_s = now_s - max(event.arrived_wall_s, self.spoke_until_s)
            self.late += late_s > self.time.chunk_s
            if late_s > overload_s and not self.overloaded:
                told.append(Overloaded(event.chunk, event.time_s, late_s, now_s))
            self.overloaded = late_s > overload_s
        return told

    @property
    def _newest(self) -> int:
        """The newest chunk in the memory."""
        return self.memory.blocks[-1].chunk if self.memory.blocks else self.chunks - 1

    def trimmed(self, blocks: int) -> MemoryTrimmed:
        newest = self._newest
        remembered_s = self.memory.remembered_s
        return MemoryTrimmed(newest, self.time.end_s(newest), blocks, remembered_s, self.clock())

    def failed(self, error: UserError) -> SessionFailed:
        newest, reason = self._newest, reason_of(error)
        return SessionFailed(
            newest, self.time.end_s(newest), reason, error.message, error.hint, self.clock()
        )

    def ended(self) -> SessionEnded:
        received = self.frontend.received_samples
        return SessionEnded(
            chunks=self.chunks,
            time_s=self.time.seconds(received),
            n_samples=received,
            dropped_chunks=self.dropped,
            trimmed_blocks=self.memory.evicted_blocks,
            late_chunks=self.late,
            wall_s=self.clock(),
        )


def begin_session(
    engine: Engine,
    id: int,
    row: SessionRow,
    config: SessionConfig,
    order: Order,
    policy: Policy | None,
    clock: Callable[[], float],
    opened_s: float,
) -> SessionState:
    """The state of a session of which only the instruction is in the memory.

    Args:
        row: holds the instruction.
        policy: who decides; None for the model.
        clock: seconds since the session was opened, at ``opened_s``.
    """
    time = engine.spec.time
    # What a client may send at once; of chunks to be drained, no more than the memory holds.
    waiting = max(
        time.chunks_in(time.samples(AT_ONCE_S)), row.memory.limit_positions // time.slots_per_chunk
    )
    deciding = policy or model_policy(engine, config)
    return SessionState(
        id,
        row,
        opened_s,
        clock,
        time,
        open_frontend(engine.spec, engine.profile),
        DialogueDecoder(engine.spec, engine.tokenizer, deciding, config.sampling, order, clock),
        ChunkQueue(None if isinstance(order, InTurn) else waiting),
        config,
        np.random.Generator(np.random.PCG64(config.sampling.seed)),
        policy,
    )


def model_policy(engine: Engine, config: SessionConfig) -> ModelPolicy:
    """The model decides, at the threshold of the session."""
    threshold = engine.threshold if config.threshold is None else config.threshold
    return ModelPolicy(threshold, config.proactive)
