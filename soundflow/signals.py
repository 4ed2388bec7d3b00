"""SIGINT, SIGTERM and SIGHUP end a command alike: by an exception, so that it tidies up."""

from __future__ import annotations

import signal
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


def raise_on_signals() -> None:
    """The first signal raises `Interrupted`; those that follow do not disturb the tidying up.

    A signal that whoever started this process had ignored (`nohup`) stays ignored.
    """
    for number in SIGNALS:
        if signal.getsignal(number) not in (signal.SIG_IGN, None):
            signal.signal(number, _raise)


def _raise(number: int, frame: FrameType | None) -> None:
    # `timeout` sends its signal twice, and a terminal that closes sends more than one.
    for other in SIGNALS:
        signal.signal(other, signal.SIG_IGN)
    raise Interrupted(number)
