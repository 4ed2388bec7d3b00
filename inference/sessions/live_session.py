"""The handle of one live session: what callers do with it, and what its worker tells it.

::

    push, interrupt, respond, ... ─▶ a command ─▶ worker: Executor
    events, async_events ◀───────── outbox ◀──── worker

A command that a session cannot follow ends that session (`SessionFailed`), and no other.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress

import numpy.typing as npt

from inference.events import SessionEnded, SessionEvent
from inference.limits import OverloadedError
from inference.packets import as_float32
from inference.sessions.config import Respond, SessionConfig
from inference.sessions.executor import Executor
from inference.sessions.outbox import Outbox
from soundflow.errors import UserError
from soundflow.protocol.timebase import TimeBase

MAX_WAITING_S = 30.0  # of audio that the worker has not encoded
MAX_UNREAD_EVENTS = 20_000  # more than an hour of them

Clock = Callable[[], float]
Command = Callable[[Executor, int], None]  # to a session, by its id


class Session:
    """A live stream: packets in, events out. Its public methods may be called from any thread.

    `LiveEngine.open` makes it; `_opened`, `_deliver` and `_fail` belong to its worker.

    Args:
        ask: has the worker run a command between two pieces of work.
        clock: monotonic seconds.
    """

    def __init__(
        self, ask: Callable[[Callable[[Executor], None]], None], clock: Clock, time: TimeBase
    ) -> None:
        self._ask_worker = ask
        self._now = clock
        self._time = time
        self._outbox = Outbox()
        self._closed = False
        self._id = 0
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
        waiting = self._sent_samples - self._heard_samples
        waiting += self._unencoded_chunks * self._time.chunk_samples
        waiting_s = self._time.seconds(waiting)
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

    def respond(self, config: SessionConfig | None = None, *, remembered: bool = True) -> None:
        """Has all that was pushed so far answered, whatever the model would decide.

        Args:
            config: its instruction and sampling hold for this reply alone. An instruction that does
                not fit ends the session, as with `configure`.
            remembered: whether the memory keeps the reply; otherwise what follows never saw it.
        """
        asked = Respond(config, remembered)
        self._ask(lambda executor, session: executor.respond(session, self._now(), asked))

    def configure(self, config: SessionConfig) -> None:
        """Goes on with another instruction, threshold and sampling; what was heard stays. Where the
        session was opened with a policy, that policy still decides, whatever the threshold.

        An instruction that does not fit into the memory of the session, or of the machine, ends the
        session (`SessionFailed`).
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

    def _ask(self, command: Command) -> None:
        """Has the worker run a command on this session, if it is still open by then."""
        self._ask_worker(lambda executor: self._obey(executor, command))

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
            with suppress(RuntimeError):  # a loop that was closed must not end the worker
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

    def __exit__(self, *error: object) -> None:
        self.close()

    def _opened(self, session: int) -> None:
        """The executor has it, by this id."""
        self._id = session

    def _deliver(self, event: SessionEvent, executor: Executor) -> None:
        """Takes an event for its reader, with what else has changed."""
        if executor.is_open(self._id):
            self._remembered_s = executor.memory(self._id).remembered_s
            self._unencoded_chunks = executor.unencoded_chunks(self._id)
            if len(self._outbox) >= MAX_UNREAD_EVENTS:
                unread = UserError("events were not read", "read the events of every session")
                executor.abort(self._id, unread)
        self._closed = self._closed or isinstance(event, SessionEnded)
        self._outbox.put(event)

    def _fail(self, error: BaseException) -> None:
        """The worker is gone: readers get ``error`` after what came before."""
        self._outbox.fail(error)
