"""SIGINT, SIGTERM and SIGHUP end a command by an exception, so that it cleans up."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(KeyboardInterrupt):
    """What a signal raises in the main thread.

    Attributes:
        number: of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


@contextmanager
def raised_signals() -> Iterator[None]:
    """Within, the first signal raises `Interrupted`; later ones do not interrupt the clean-up.

    A signal that was ignored when this process started (`nohup`) stays ignored.
    """
    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number, handler in before.items():
        if handler not in (signal.SIG_IGN, None):
            signal.signal(number, _raise)
    interrupted = False
    try:
        yield
    except Interrupted:
        interrupted = True  # and further signals stay ignored, for this process is ending
        raise
    finally:
        if not interrupted:
            for number, handler in before.items():
                signal.signal(number, handler)


def _raise(number: int, frame: FrameType | None) -> None:
    # `timeout` sends its signal twice, and a terminal that closes sends more than one.
    for other in SIGNALS:
        signal.signal(other, signal.SIG_IGN)
    raise Interrupted(number)
