"""SIGINT, SIGTERM and SIGHUP end a command by an exception, so that it cleans up.

SIGUSR1, SLURM's warning, would end a process that is still importing what it needs, and its job as
a failure. It is held back: a training run takes it once it can, other commands never.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from soundflow.errors import Stopped

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
HELD_BACK = {signal.SIGUSR1}


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

    After a stop this process is ending, and further signals stay ignored, as does one that was
    set to be ignored within.

    A signal that was ignored when this process started (`nohup`) stays ignored.
    """
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, HELD_BACK)
    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number, handler in before.items():
        if handler not in (signal.SIG_IGN, None):
            signal.signal(number, _raise)
    try:
        yield
    except (KeyboardInterrupt, Stopped):
        _ignore()
        raise
    finally:
        if HELD_BACK & signal.sigpending():
            signal.sigwait(HELD_BACK)  # there is nothing left to warn of
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number, handler in before.items():
            if signal.getsignal(number) is _raise:
                signal.signal(number, handler)


def _raise(number: int, frame: FrameType | None) -> None:
    # `timeout` sends its signal twice, and a terminal that closes sends more than one.
    _ignore()
    raise Interrupted(number)


def _ignore() -> None:
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
