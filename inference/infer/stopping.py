"""Ctrl-C ends the audio, not the program: the session then ends as at the end of a recording."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from inference.packets import Float32
from soundflow.signals import SIGNALS, Interrupted


class StopRequest:
    """Whether a signal asked to stop.

    A signal that comes while audio is waited for ends the wait; at any other time it is only noted,
    for a model must not be interrupted in the middle of a chunk. A second one interrupts at once.

    Attributes:
        asked: the first signal; None before it.
    """

    def __init__(self) -> None:
        self.asked: int | None = None
        self._waits = False

    def note(self, number: int, frame: FrameType | None = None) -> None:
        """Takes a signal."""
        again = self.asked is not None
        self.asked = self.asked or number
        if self._waits or again:
            self._waits = False
            raise Interrupted(number)

    def __call__(self) -> bool:
        return self.asked is not None

    def until(self, blocks: Iterator[Float32]) -> Iterator[Float32]:
        """The blocks up to the signal."""
        while self.asked is None:
            self._waits = True
            try:
                block = next(blocks)
            except (StopIteration, Interrupted):
                return
            finally:
                self._waits = False
            yield block


@contextmanager
def stop_request() -> Iterator[StopRequest]:
    """A request that takes the signals of the main thread inside the block."""
    request = StopRequest()
    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number, handler in before.items():
        if handler not in (signal.SIG_IGN, None):
            signal.signal(number, request.note)
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
