"""Live sessions: one worker thread computes for all of them, and each is a handle.

::

    Session.push ──▶ ┐                                              ┌──▶ Session.events
    Session.push ──▶ ┼─ commands ─▶ worker: Executor.tick(now) ─────┼──▶ Session.events
    Session.push ──▶ ┘                                              └──▶ Session.async_events

`push` only checks and hands over; the worker never waits for a reader. So neither a slow client nor
a long reply holds up anyone else.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future

from inference.decoder.dialogue_decoder import Order
from inference.decoder.policy import Policy
from inference.engine import Engine
from inference.events import SessionEnded, SessionEvent
from inference.limits import Limits
from inference.sessions.config import SessionConfig
from inference.sessions.executor import Executor
from inference.sessions.live_session import Clock, Session
from soundflow.errors import UserError


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
        self._executor = Executor(engine, limits, order, clock)
        self._executor.record_ahead()
        self._handles: dict[int, Session] = {}
        self._commands: deque[Callable[[Executor], None]] = deque()
        self._changed = threading.Condition()
        self._opening: set[Future[None]] = set()
        self._stopping = False
        self._error: BaseException | None = None
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
        session, opened = Session(self.ask, self.clock, self.engine.spec.time), Future[None]()

        def enter(executor: Executor) -> None:
            try:
                opened_as = executor.open(config, self.clock(), policy)
                session._opened(opened_as)
                self._handles[opened_as] = session
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

    @property
    def sessions(self) -> int:
        """How many are open."""
        return len(self._handles)

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

    def __exit__(self, *error: object) -> None:
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
                session._fail(error)
            for opened in list(self._opening):
                if not opened.done():
                    opened.set_exception(RuntimeError("the engine stopped"))
            raise

    def _turn(self) -> bool:
        """Commands, then work until there is none; False when the engine is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._commands or self._stopping)
        while True:
            while self._commands:
                self._commands.popleft()(self._executor)
            tick = self._executor.tick(self.clock())
            for session, event in tick.events:
                self._deliver(session, event)
            if tick.work is None and not self._commands:
                break
        return not self._stopping or bool(self._handles)

    def _deliver(self, session: int, event: SessionEvent) -> None:
        handle = self._handles[session]
        if isinstance(event, SessionEnded):
            del self._handles[session]
        handle._deliver(event, self._executor)
