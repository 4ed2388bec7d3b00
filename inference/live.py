"""Live sessions: one worker thread computes for all of them, and each is a handle.

::

    Session.push ──▶ ┐                                              ┌──▶ Session.events
    Session.push ──▶ ┼─ commands ─▶ worker: Executor.tick(now) ─────┼──▶ Session.events
    Session.push ──▶ ┘                                              └──▶ Session.async_events

`push` only checks and hands over; the worker never waits for a reader. So neither a slow client nor
a long reply holds up anyone else.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from types import TracebackType

import numpy.typing as npt

from inference.dialogue_decoder import Order
from inference.engine import Engine
from inference.events import SessionEnded, SessionEvent
from inference.executor import Executor
from inference.limits import Limits, OverloadedError
from inference.outbox import Outbox
from inference.packets import as_float32
from inference.policy import Policy
from inference.session import SessionConfig
from soundflow.errors import UserError

MAX_WAITING_S = 30.0  # of audio that the worker has not encoded
MAX_UNREAD_EVENTS = 20_000  # more than an hour of them
LOAD_SPAN_S = 10.0  # over which the load is averaged

Clock = Callable[[], float]
Command = Callable[[Executor, int], None]  # to a session, by its id


class Session:
    """A live stream: packets in, events out. Its methods may be called from any thread."""

    def __init__(self, live: LiveEngine) -> None:
        self._live = live
        self._outbox = Outbox()
        self._closed = False
        self._id = 0  # given by the worker
        self._sent_samples = 0
        self._unencoded_chunks = 0
        self._heard_samples = 0
        self._remembered_s = 0.0

    @property
    def remembered_s(self) -> float:
        """Seconds of audio that the memory holds."""
        return self._remembered_s

    def push(self, packet: npt.ArrayLike) -> None:
        """Checks a packet of mono samples at the stream's rate, and hands it over.

        Args:
            packet: (n,) float in [-1, 1], or int16.

        Raises:
            RuntimeError: after `close`, or if the engine stopped.
            UserError: if the packet has another type or shape, holds NaN or infinity, or lies
                outside [-1, 1].
            OverloadedError: if 30 seconds of audio wait already; the packet is not taken.
        """
        if self._closed:
            raise RuntimeError("the session is closed; open a new one")
        samples = as_float32(packet)
        time_base = self._live.engine.spec.time
        waiting = self._sent_samples - self._heard_samples
        waiting += self._unencoded_chunks * time_base.chunk_samples
        waiting_s = time_base.seconds(waiting)
        if waiting_s > MAX_WAITING_S:
            raise OverloadedError(
                f"{waiting_s:.0f} s of audio wait to be heard", "send audio as it is recorded"
            )
        self._sent_samples += len(samples)
        now = self._now()

        def hand_over(executor: Executor, session: int) -> None:
            self._heard_samples += len(samples)
            executor.push(session, samples, now)
            self._unencoded_chunks = executor.unencoded_chunks(session)

        self._ask(hand_over)

    def interrupt(self, heard_tokens: int | None = None) -> None:
        """Ends the reply in progress, and withdraws one that was asked for and has not begun. What
        the memory keeps of the last one is what was heard.

        Args:
            heard_tokens: text tokens that were heard; None for all that were said.
        """
        self._ask(lambda executor, session: executor.interrupt(session, heard_tokens, self._now()))

    def respond(self) -> None:
        """Has all that was pushed so far answered, whatever the model would decide."""
        self._ask(lambda executor, session: executor.respond(session, self._now()))

    def configure(self, config: SessionConfig) -> None:
        """Goes on with another instruction, threshold and sampling; what was heard stays. Where the
        session was opened with a policy, that policy still decides, whatever the threshold.

        An instruction that does not fit into the memory of the session
        (`inference.memory.require_room`) or of the machine ends the session (`SessionFailed`).
        """
        self._ask(lambda executor, session: executor.configure(session, config, self._now()))

    def abort(self) -> None:
        """Ends the session at once: what was not decided on is dropped, `SessionEnded` follows."""
        self._closed = True
        self._ask(lambda executor, session: executor.abort(session, now=self._now()))

    def close(self) -> None:
        """Ends the stream. What was pushed is still decided on; `SessionEnded` comes last."""
        if self._closed:
            return
        self._closed = True
        self._ask(lambda executor, session: executor.close(session, self._now()))

    def _now(self) -> float:
        return self._live.clock()

    def _ask(self, command: Command) -> None:
        """Has the worker run a command on this session, if it is still open by then."""
        self._live.ask(lambda executor: self._obey(executor, command))

    def _obey(self, executor: Executor, command: Command) -> None:
        if not executor.is_open(self._id):
            return
        try:
            command(executor, self._id)
        except UserError as error:
            executor.abort(self._id, error, self._now())

    def events(self, timeout_s: float | None = None) -> Iterator[SessionEvent]:
        """The events as they come; ends after `SessionEnded`, or after ``timeout_s`` without any.

        Raises:
            RuntimeError: if the engine stopped.
        """
        while not self._outbox.over:
            event = self._outbox.wait(timeout_s)
            if event is None:
                return
            yield event

    async def async_events(self) -> AsyncIterator[SessionEvent]:
        """The events as they come; ends after `SessionEnded`.

        Raises:
            RuntimeError: if the engine stopped.
        """
        loop, ready = asyncio.get_running_loop(), asyncio.Event()

        def wake() -> None:
            loop.call_soon_threadsafe(ready.set)

        self._outbox.on_change(wake)
        try:
            while not self._outbox.over:
                ready.clear()
                event = self._outbox.take()
                if event is None:
                    await ready.wait()
                else:
                    yield event
        finally:
            self._outbox.on_change(None)

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


@dataclass(frozen=True)
class Load:
    """How busy an engine is.

    Attributes:
        sessions: how many are open.
        max_sessions: how many may be.
        busy: share of the last seconds in which the worker computed.
    """

    sessions: int
    max_sessions: int
    busy: float


class LiveEngine:
    """An engine that listens while it speaks, to many sessions.

    Args:
        order: how chunks that wait are answered.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        engine: Engine,
        limits: Limits | None = None,
        order: Order | None = None,
        clock: Clock = time.perf_counter,
    ) -> None:
        self.engine = engine
        self.clock = clock
        self._limits = limits or Limits()
        self._executor = Executor(engine, self._limits, order, clock)
        self._handles: dict[int, Session] = {}
        self._commands: deque[Callable[[Executor], None]] = deque()
        self._changed = threading.Condition()
        self._opening: set[Future[None]] = set()
        self._stopping = False
        self._error: BaseException | None = None
        self._busy = 0.0
        self._worker = threading.Thread(target=self._run, name="soundflow-engine", daemon=True)
        self._worker.start()

    def open(self, config: SessionConfig | None = None, policy: Policy | None = None) -> Session:
        """Opens a session.

        Args:
            policy: who decides; by default the model.

        Raises:
            OverloadedError: if no more sessions are taken.
            UserError: if the instruction and one answered chunk do not fit into the memory.
            RuntimeError: if the engine is closed.
        """
        session, opened = Session(self), Future[None]()

        def enter(executor: Executor) -> None:
            try:
                session._id = executor.open(config, self.clock(), policy)
                self._handles[session._id] = session
                opened.set_result(None)
            except UserError as error:
                opened.set_exception(error)

        self._opening.add(opened)
        try:
            self.ask(enter)
            opened.result()
        finally:
            self._opening.discard(opened)
        return session

    @property
    def error(self) -> BaseException | None:
        """What stopped the worker; nothing can be done with the engine after that."""
        return self._error

    def load(self) -> Load:
        return Load(len(self._handles), self._limits.max_sessions, self._busy)

    def close(self) -> None:
        """Ends every reply and every session legally, then the worker."""
        with self._changed:
            if not self._stopping:
                self._stopping = True
                self._commands.append(self._end_all)  # behind whatever opens a session
            self._changed.notify()
        self._worker.join()

    def _end_all(self, executor: Executor) -> None:
        now = self.clock()
        for session in self._handles:
            if executor.is_open(session):  # not one that ended just now, and has not been told
                executor.interrupt(session, now=now)
                executor.close(session, now)

    def __enter__(self) -> LiveEngine:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def ask(self, command: Callable[[Executor], None]) -> None:
        """Has the worker run ``command`` between two pieces of work.

        Raises:
            RuntimeError: if the engine is closed, or stopped by an error.
        """
        with self._changed:
            if self._stopping or self._error is not None:
                raise RuntimeError("the engine is closed") from self._error
            self._commands.append(command)
            self._changed.notify()

    def _run(self) -> None:
        try:
            while self._turn():
                pass
        except BaseException as error:
            with self._changed:
                self._error = error
            for session in self._handles.values():
                session._outbox.fail(error)
            for opened in list(self._opening):
                if not opened.done():
                    opened.set_exception(RuntimeError("the engine stopped"))
            raise

    def _turn(self) -> bool:
        """Commands, then work until there is none; False when the engine is closed."""
        slept = self.clock()
        with self._changed:
            self._changed.wait_for(lambda: self._commands or self._stopping)
        woke = self.clock()
        self._measure(woke - slept, busy=False)
        while self._obey():
            began = self.clock()
            tick = self._executor.tick(began)
            for session, event in tick.events:
                self._deliver(session, event)
            self._measure(self.clock() - began, busy=True)
            if tick.work is None and not self._commands:
                break
        return not self._stopping or bool(self._handles)

    def _obey(self) -> bool:
        while self._commands:
            self._commands.popleft()(self._executor)
        return True

    def _deliver(self, session: int, event: SessionEvent) -> None:
        handle = self._handles[session]
        goes_on = self._executor.is_open(session)
        if goes_on:
            handle._remembered_s = self._executor.memory(session).remembered_s
            handle._unencoded_chunks = self._executor.unencoded_chunks(session)
        handle._outbox.put(event)
        if isinstance(event, SessionEnded):
            handle._closed = True
            del self._handles[session]
        elif goes_on and len(handle._outbox) > MAX_UNREAD_EVENTS:
            self._executor.abort(
                session, UserError("events were not read", "read the events of every session")
            )

    def _measure(self, span_s: float, *, busy: bool) -> None:
        share = min(1.0, span_s / LOAD_SPAN_S)
        self._busy += share * (float(busy) - self._busy)
