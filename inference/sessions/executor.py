"""All computation of all sessions, one piece of work at a time; no threads, no clock of its own.

::

    push ─▶ AudioFrontend ─▶ chunks ─Encode─▶ ChunkQueue ─Decode─▶ DialogueDecoder ─▶ events
                              wait     batch    wait        batch    decides, replies
                                       log-mel     ⇅
                                         SessionMemory, a row of the KvPool

`tick` asks the scheduler what to do next, does it, and returns the events that came of it. The same
calls with the same times give the same events, so every schedule can be replayed in a test.
`inference.sessions.live` runs it in a thread; `lockstep` and `offline_decode` drive it themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf, isfinite

import numpy as np
import numpy.typing as npt
from torch import Tensor

from inference.decoder.dialogue_decoder import Drain, InTurn, Order, Step
from inference.decoder.policy import Policy
from inference.engine import Engine
from inference.events import SessionEvent
from inference.limits import (
    BatchesThatFit,
    Limits,
    NonFiniteLogitsError,
    OutOfMemoryError,
    OverloadedError,
)
from inference.passes.model_runner import ModelRunner, Request
from inference.sessions.config import Respond, SessionConfig
from inference.sessions.configuring import go_on_with, require_fits
from inference.sessions.memory import SessionMemory, require_room
from inference.sessions.scheduler import Decode, Encode, PassLimits, Reanchor, Work, next_work
from inference.sessions.session_row import SessionRow
from inference.sessions.session_state import ArrivedChunk, SessionState, SharedClock, begin_session
from soundflow.audio.frontend import log_mels
from soundflow.errors import UserError

Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Tick:
    """What was done (None: all sessions wait for audio), and the events of each session."""

    work: Work | None
    events: tuple[tuple[int, SessionEvent], ...]


class Executor:
    """Sessions by their id.

    Args:
        order: how waiting chunks are answered.
        clock: stamps events when their work is done; by default with the time of the tick.
    """

    def __init__(
        self,
        engine: Engine,
        limits: Limits | None = None,
        order: Order | None = None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._engine = engine
        self._limits = limits or Limits()
        self._order: Order = order or Drain()
        self._passes = PassLimits(self._limits.encode_chunks, self._limits.listen_chunks)
        self._in_turn = isinstance(self._order, InTurn)
        # Whoever decides on every chunk in turn waits for it, and is never late.
        self._overload_s = inf if self._in_turn else self._limits.overload_s
        self._clock = SharedClock(clock)
        self.runner = ModelRunner(engine, self._limits.max_sessions)
        self._sessions: dict[int, SessionState] = {}
        # Those that may have something to do: most wait for audio, and need not be asked.
        self._awake: dict[int, SessionState] = {}
        self._opened = 0
        self._last: Work | None = None
        self._outbox: list[tuple[int, SessionEvent]] = []
        self._encoding, self._passing = BatchesThatFit(), BatchesThatFit()

    def record_ahead(self) -> None:
        """See `ModelRunner.record_ahead`."""
        self.runner.record_ahead(self._limits.encode_chunks, self._limits.listen_chunks)

    @property
    def sessions(self) -> int:
        return len(self._sessions)

    def open(
        self, config: SessionConfig | None = None, now: float = 0.0, policy: Policy | None = None
    ) -> int:
        """Opens a session and returns its id.

        Args:
            policy: who decides; by default the model (with teacher forcing, the ground truth).

        Raises:
            OverloadedError: if every row is in use, or the machine's memory.
            UserError: if the instruction and one answered chunk do not fit into the memory.
        """
        self._clock.now = now
        config, engine = config or SessionConfig(), self._engine
        prefix = engine.prefix_ids(config.system)
        limit = engine.limit_of(config.limit_positions)
        require_room(engine, len(prefix), limit)
        if not self.runner.pool.free_rows:
            raise OverloadedError(
                f"{self.sessions} sessions are open, no more are taken",
                "close one, or raise max_sessions",
            )
        shared, opened_s = self._clock, self._clock()

        def clock() -> float:
            return shared() - opened_s

        row = SessionRow(self.runner, SessionMemory(engine, prefix, limit, config.past_turns))
        self._opened += 1
        self._sessions[self._opened] = begin_session(
            engine, self._opened, row, config, self._order, policy, clock, opened_s
        )
        return self._opened

    def push(
        self, session: int, samples: Float32, now: float = 0.0, *, during_reply: bool | None = None
    ) -> None:
        """Takes mono samples in [-1, 1] at the stream's rate, complete at ``now``.

        Args:
            during_reply: whether they were recorded while a reply was in progress, as a replay
                knows from its recording. None for whether one is now, unless they come faster than
                speech does.
        """
        state = self._wake(session)
        state.arrived(state.frontend.push(samples), now, during_reply)

    def push_encoded(self, session: int, slots: Tensor, now: float = 0.0) -> None:
        """Takes chunks after the encoder, (n, slots, d), instead of samples."""
        state = self._wake(session)
        for one in slots:
            self._emit(state, state.enqueue(one, now - state.opened_s))

    def interrupt(self, session: int, heard_tokens: int | None = None, now: float = 0.0) -> None:
        """Ends the reply in progress, or shortens the last one, to what was heard of it; a reply
        that was asked for and has not begun is withdrawn.
        """
        self._clock.now = now
        state = self._wake(session)
        over = state.decoder.last_reply
        cut = state.decoder.interrupt(heard_tokens)
        if cut.forget:
            state.row.forget(cut.forget)
        self._emit(state, cut.events)
        if state.replying is not None and not state.speaking:
            self._reply_over(state, state.replying)
        if over is None or heard_tokens is None or heard_tokens >= over[1]:
            return
        try:
            if state.row.cut_reply(over[0], over[1] - heard_tokens):
                self._emit(state, [state.decoder.shorten(heard_tokens)])
        except OutOfMemoryError as error:
            self._fail(state, error)

    def respond(self, session: int, now: float = 0.0, asked: Respond | None = None) -> None:
        """Has all that was heard so far answered, whatever the policy would decide.

        What is missing of the newest chunk is filled with silence. A reply in progress goes on, and
        is followed by the one that was asked for.

        Raises:
            UserError: if its instruction does not fit into the memory.
        """
        state, spec = self._wake(session), self._engine.spec
        if state.closing:
            return
        state.asked = asked or Respond()
        if state.asked.config is not None:
            require_fits(self._engine, state, state.asked.config)
        chunk = state.chunks + len(state.audio)  # the first that is not complete
        complete_at = (chunk + 1) * spec.time.chunk_samples + spec.look_ahead_samples
        missing = complete_at - state.frontend.received_samples
        self.push(session, np.zeros(missing, np.float32), now)
        state.decoder.answer(chunk)

    def configure(self, session: int, config: SessionConfig, now: float = 0.0) -> None:
        """Goes on with another instruction, threshold and sampling; if a reply is in progress that
        has its own, after that. See `inference.sessions.configuring`.

        Raises:
            UserError: if the instruction does not fit into the memory of the session, or
                (`OverloadedError`) of the machine. The session is as it was.
        """
        self._clock.now = now
        state = self._wake(session)
        require_fits(self._engine, state, config)
        if state.replying is None or state.replying.config is None:
            self._go_on_with(state, config)
        state.config = config

    def close(self, session: int, now: float = 0.0) -> None:
        """Ends the stream: its last chunk is padded and decided on, then `SessionEnded` follows."""
        state = self._wake(session)
        if not state.closing:
            state.arrived(state.frontend.finish(), now)
            state.closing = True

    def abort(self, session: int, error: UserError | None = None, now: float = 0.0) -> None:
        """Ends a session at once; what was not decided on is dropped.

        Args:
            error: is told (`SessionFailed`) before `SessionEnded`. Without one a reply in progress
                ends as if it had been interrupted.
        """
        self._clock.now = now
        state = self._wake(session)
        if error is not None:
            self._fail(state, error)
            return
        self._emit(state, state.decoder.interrupt().events)
        self._end(state)

    def _wake(self, session: int) -> SessionState:
        state = self._awake[session] = self._sessions[session]
        return state

    def is_open(self, session: int) -> bool:
        return session in self._sessions

    def unencoded_chunks(self, session: int) -> int:
        """Complete chunks that wait for the encoder."""
        return len(self._sessions[session].audio)

    def memory(self, session: int) -> SessionMemory:
        """What a session remembers; only to look at."""
        return self._sessions[session].memory

    def tick(self, now: float) -> Tick:
        """Does one piece of work.

        Args:
            now: monotonic seconds.
        """
        self._clock.now = now
        waiting = [s.waiting(in_turn=self._in_turn) for s in self._awake.values()]
        work = next_work(waiting, self._passes, self._last)
        match work:
            case Encode():
                self._encode([self._sessions[i] for i in work.sessions])
            case Decode():
                self._decode(work)
            case Reanchor():
                self._evict(self._sessions[work.session])
        self._last = work
        for state in [s for s in self._awake.values() if s.finished]:
            self._end(state)
        for one in waiting:
            if one.idle:
                self._awake.pop(one.session, None)
        events, self._outbox = tuple(self._outbox), []
        return Tick(work, events)

    def _encode(self, states: Sequence[SessionState]) -> None:
        taken = [state.audio.popleft() for state in states]
        found = self._encoding(self._slots, taken)
        for state, slots, chunk in zip(states, found, taken, strict=True):
            if slots is not None:
                # A copy: a memory that keeps one chunk for long must not keep its batch.
                slots = slots.clone()
                self._emit(state, state.enqueue(slots, chunk.arrived_s, chunk.during_reply))
            elif self.is_open(state.id):  # its earlier chunk may have ended it
                self._fail(state, OutOfMemoryError("to encode a chunk"))

    def _slots(self, chunks: Sequence[ArrivedChunk]) -> Sequence[Tensor]:
        """(slots, d) of each."""
        spec = self._engine.spec
        mels = log_mels([chunk.audio for chunk in chunks], spec.time, spec.front_end)
        return self.runner.encode(mels).unbind()

    def _decode(self, work: Decode) -> None:
        steps: list[tuple[SessionState, Step]] = []
        listen = [(self._sessions[i], at_most) for i, at_most in work.listen]
        listen.sort(key=lambda one: one[0].row.index)  # neighbouring rows share a call of attention
        speak = sorted((self._sessions[i] for i in work.speak), key=lambda s: s.row.index)
        for state, at_most in (*listen, *((state, 1) for state in speak)):
            step = self._next_step(state, at_most)
            if step is not None:
                steps.append((state, step))
        requests = [
            Request(s.row.index, step, None if step.chunks else s.next_draw()) for s, step in steps
        ]
        results = self._passing(self.runner.run, requests) if requests else []
        for (state, step), found in zip(steps, results, strict=True):
            if found is None:
                self._fail(state, OutOfMemoryError("for a pass"))
            else:
                self._take(state, step, found)

    def _next_step(self, state: SessionState, at_most: int) -> Step | None:
        """What a session computes next, with room for it; None where making room ended it."""
        if self._in_turn and not state.speaking:
            if state.memory.crowded and not self._evict(state):
                return None
            # Where every chunk is decided on, memories are trimmed at the same chunk however many
            # are computed at once and in whatever packets they came.
            at_most = min(at_most, state.memory.blocks_until_crowded)
        step = state.decoder.next_step(state.queue, min(at_most, state.memory.blocks_per_step))
        assert step is not None
        too_long = state.memory.length + len(step.ids) > state.memory.limit_positions
        if too_long and not self._evict(state, len(step.ids)):
            return None
        state.memory.append(step)
        return step

    def _take(self, state: SessionState, step: Step, found: Sequence[float]) -> None:
        """What a step has found becomes events."""
        if not all(map(isfinite, found)):
            bad = next(at for at, one in zip(step.read, found, strict=True) if not isfinite(one))
            state.row.forget(len(step.ids) - 1 - bad)
            self._fail(state, NonFiniteLogitsError(state.memory.blocks[-1].chunk))
            return
        try:
            if step.chunks:
                self._take_decisions(state, step, found)
            else:
                self._take_token(state, int(found[0]))
        except OverloadedError as error:
            self._fail(state, error)

    def _take_decisions(self, state: SessionState, step: Step, p_response: Sequence[float]) -> None:
        taken = state.decoder.take_decisions(p_response)
        if taken.kept < len(step.ids):  # computed ahead of a reply
            state.row.forget(len(step.ids) - taken.kept)
        self._emit(state, state.account(taken.events, self._overload_s))
        self._emit(state, taken.events)
        if state.decoder.asked:
            reply = state.replying = state.asked
            state.asked = Respond()
            if reply.config is not None:
                self._go_on_with(state, reply.config)

    def _take_token(self, state: SessionState, token: int) -> None:
        self._emit(state, state.decoder.take_token(token))
        state.spoke_until_s = state.clock()
        if state.replying is not None and not state.speaking:
            self._reply_over(state, state.replying)

    def _reply_over(self, state: SessionState, reply: Respond) -> None:
        """What held for one reply alone is taken back."""
        state.replying = None
        if not reply.remembered:
            state.row.forget(state.memory.answer_length)
            state.decoder.unsay()
        if reply.config is not None:
            self._go_on_with(state, state.config)

    def _evict(self, state: SessionState, room: int = 0) -> bool:
        """Makes room in a memory; whether the session goes on."""
        try:
            blocks = state.row.make_room(room)
        except OutOfMemoryError as error:
            self._fail(state, error)
            return False
        if blocks is not None:
            self._emit(state, [state.trimmed(blocks)])
        return True

    def _fail(self, state: SessionState, error: UserError) -> None:
        self._emit(state, [state.failed(error)])
        self._end(state)

    def _end(self, state: SessionState) -> None:
        self._emit(state, [state.ended()])
        state.row.release()
        del self._sessions[state.id]
        self._awake.pop(state.id, None)

    def _go_on_with(self, state: SessionState, config: SessionConfig) -> None:
        self._emit(state, go_on_with(self._engine, state, config))

    def _emit(self, state: SessionState, events: Sequence[SessionEvent]) -> None:
        self._outbox += [(state.id, event) for event in events]
