"""One live stream: packets in, events out (protocol section 6).

::

    push(packet) ─▶ StreamingEncoder ─▶ ChunkQueue ─▶ DialogueDecoder ⇄ SessionMemory ─▶ events

Every chunk is decided on before the next one is taken from the packet, so the events of a stream
do not depend on how its samples were cut into packets.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import field, replace
from types import TracebackType

import numpy as np
import numpy.typing as npt
from pydantic import PositiveInt
from pydantic.dataclasses import dataclass

from inference.chunk_queue import ChunkQueue, EncodedChunk
from inference.dialogue_decoder import DialogueDecoder
from inference.engine import Engine
from inference.events import ChunkDropped, MemoryTrimmed, SessionEnded, SessionEvent
from inference.memory import SessionMemory
from inference.policy import ForcedPolicy, ModelPolicy, Policy
from inference.sampling import SamplingConfig
from inference.streaming_encoder import StreamingEncoder
from soundflow.config.settings import SETTINGS, Fraction
from soundflow.protocol import layout
from soundflow.protocol.dialogue_state import State


@dataclass(frozen=True, config=SETTINGS)
class SessionConfig:
    """What may differ between sessions of one engine. None takes the engine's own.

    Attributes:
        system: instruction prefix; training's by default.
        threshold: p(response) from which the model speaks.
        limit_positions: bound of the memory, at most as in training.
    """

    system: str | None = None
    threshold: Fraction | None = None
    limit_positions: PositiveInt | None = None
    sampling: SamplingConfig = field(default_factory=SamplingConfig)


class Session:
    """Takes packets until it is closed. Many may live in one process; each has its own memory.

    Args:
        policy: who decides; by default the model (with teacher forcing, the ground truth).
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
        config = config or SessionConfig()
        threshold = engine.threshold if config.threshold is None else config.threshold
        began = clock()
        self._clock: Callable[[], float] = lambda: clock() - began
        self._encoder = StreamingEncoder(engine)
        self._decoder = DialogueDecoder(
            engine.spec,
            engine.tokenizer,
            policy or ModelPolicy(threshold, config.sampling),
            config.sampling.max_reply_tokens,
            self._clock,
        )
        limit = min(config.limit_positions or engine.limit_positions, engine.limit_positions)
        self._memory = SessionMemory(engine, prefix_ids(engine, config.system), limit)
        self._time = engine.spec.time
        # More chunks than the memory can hold need not wait.
        self._queue = ChunkQueue(max(1, limit // self._time.slots_per_chunk))
        self._chunks = 0
        self._dropped_chunks = 0
        self._closed = False

    @property
    def state(self) -> State:
        return self._decoder.state

    @property
    def memory_positions(self) -> int:
        """Positions in use; never more than the limit, however long the session."""
        return self._memory.length_positions

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
                outside [-1, 1]; or if the model computes NaN (`NonFiniteLogitsError`).
        """
        self._require_open()
        arrived_s = self._clock()
        return self._answer(self._encoder.push(packet), arrived_s)

    def stop(self) -> list[SessionEvent]:
        """Cuts the reply in progress short. Raises RuntimeError after `close`."""
        self._require_open()
        return self._decoder.stop()

    def close(self) -> list[SessionEvent]:
        """Ends the stream: pads its last chunk and decides on it.

        Raises:
            RuntimeError: if the session is closed already.
        """
        self._require_open()
        arrived_s = self._clock()
        events = self._answer(self._encoder.finish(), arrived_s)
        self._closed = True
        received = self._encoder.received_samples
        ended = SessionEnded(
            chunks=self._chunks,
            time_s=self._time.seconds(received),
            n_samples=received,
            dropped_chunks=self._dropped_chunks,
            trimmed_blocks=self._memory.trimmed_blocks,
            wall_s=self._clock(),
        )
        return [*events, ended]

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closed = True

    def _answer(self, chunks: Iterable[EncodedChunk], arrived_s: float) -> list[SessionEvent]:
        events: list[SessionEvent] = []
        for chunk in chunks:
            self._chunks += 1
            time_s = self._time.end_s(chunk.index)
            dropped = self._queue.put(replace(chunk, arrived_wall_s=arrived_s))
            if dropped is not None:
                self._dropped_chunks += 1
                at_s = self._time.end_s(dropped.index)
                events.append(ChunkDropped(dropped.index, at_s, self._clock()))
            while (step := self._decoder.next_step(self._queue)) is not None:
                trims, blocks = self._memory.trims, self._memory.trimmed_blocks
                logits = self._memory.run(step)
                if self._memory.trims > trims:
                    blocks = self._memory.trimmed_blocks - blocks
                    events.append(MemoryTrimmed(chunk.index, time_s, blocks, self._clock()))
                events += self._decoder.take(logits)
            arrived_s = self._clock()  # chunks of one packet are worked on one after another
        return events

    def _require_open(self) -> None:
        if self._closed:
            raise RuntimeError("the session is closed; open a new one")


def prefix_ids(engine: Engine, system: str | None = None) -> tuple[int, ...]:
    """The online prefix of a session, encoded as the builder encodes it."""
    text = engine.system if system is None else system
    return layout.online_prefix(engine.spec.tokens, engine.tokenizer.encode(text)).ids


def warm_up(engine: Engine) -> None:
    """Runs one chunk of zeros and an empty reply, so that the first real chunk is not slowed by
    what is loaded on first use.
    """
    table = engine.spec.tokens
    session = Session(engine, policy=ForcedPolicy({0: (table.normal, table.text_end)}))
    session.push(np.zeros(engine.spec.time.chunk_samples, np.float32))
    session.close()
