"""The events of one session on their way from the worker to a reader."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from inference.events import SessionEnded, SessionEvent


class Outbox:
    """Events in order. The worker never waits to put one; a reader may wait for the next.

    Attributes:
        over: whether `SessionEnded` was taken: nothing follows.
    """

    def __init__(self) -> None:
        self._events: deque[SessionEvent] = deque()
        self._changed = threading.Condition()
        self._error: BaseException | None = None
        self._notify: Callable[[], None] | None = None
        self.over = False

    def __len__(self) -> int:
        return len(self._events)

    def put(self, event: SessionEvent) -> None:
        with self._changed:
            self._events.append(event)
            self._wake()

    def fail(self, error: BaseException) -> None:
        """The worker is gone: readers get ``error`` after what was put before."""
        with self._changed:
            self._error = error
            self._wake()

    def on_change(self, notify: Callable[[], None] | None) -> None:
        """``notify`` is called from the worker's thread whenever something was put."""
        with self._changed:
            self._notify = notify

    def take(self) -> SessionEvent | None:
        """The next event, or None if there is none yet."""
        with self._changed:
            return self._take()

    def wait(self, timeout_s: float | None) -> SessionEvent | None:
        """The next event, or None if there was none for so long."""
        with self._changed:
            self._changed.wait_for(lambda: self._events or self._error, timeout_s)
            return self._take()

    def _take(self) -> SessionEvent | None:
        if self._events:
            event = self._events.popleft()
            self.over = isinstance(event, SessionEnded)
            return event
        if self._error is not None:
            raise RuntimeError("the engine stopped") from self._error
        return None

    def _wake(self) -> None:
        self._changed.notify_all()
        if self._notify is not None:
            self._notify()
