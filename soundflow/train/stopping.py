"""Ending a run in good order: a signal sets a flag, and the training loop reads it between updates.

A handler must neither save nor talk to other processes: it may interrupt either in the middle. All
processes of a run take the flag of any of them into account at the same update
(`soundflow.train.module`), so all of them save and leave together. A validation takes as long as
many updates, and processes do not have the same share of it: there each of them asks, while it
works alone, whether any was asked to stop, and all give it up where their results would meet. A
process that is asked while it waits there for the others runs no handler before they arrive: a
thread tells them.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

import torch.distributed as dist
from lightning import Trainer
from torch.distributed.distributed_c10d import _get_default_store

from soundflow.errors import Stopped
from soundflow.logs import ERR
from soundflow.signals import HELD_BACK
from soundflow.train.ranks import several

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
WAIT_S = 20.0  # for the other processes to leave once all have agreed to
REQUEUE_S = 20.0  # for SLURM's controller to answer
POLL_S = 0.5  # between two questions to the other processes
_KEY = "soundflow/asked to stop by"
_NO_MORE = 0  # no signal has this number


class StopFlag:
    """Whether this process was asked to stop.

    Until `wait_for_updates` a signal raises `Stopped` at once in the first process of a run: there
    is nothing to save. The others never leave on their own, for the first would wait for them. Only
    SLURM's warning waits for the first update: a job whose limit is too short for one would go back
    into the queue for ever. Afterwards a signal is noted and read. A second Ctrl-C raises at once
    again; other signals that follow do not, for SLURM sends SIGTERM seconds after SIGUSR1, while
    the state is being saved.

    Attributes:
        asked: the signal that came last; None before the first.
    """

    def __init__(self, *, first_process: bool = True) -> None:
        self.asked: int | None = None
        self._first_process = first_process
        leaving = frozenset(SIGNALS) if first_process else frozenset()
        self._at_once: frozenset[int] = leaving - HELD_BACK
        self._owner = os.getpid()
        self._polled_s = 0.0
        # What was ignored when the command started stays ignored: `nohup`, jobs of a shell script.
        self._taken = [n for n in SIGNALS if signal.getsignal(n) != signal.SIG_IGN]

    def wait_for_updates(self) -> None:
        """From here on the training loop reads the flag."""
        self._at_once = frozenset()
        self.install()

    def poll(self) -> None:
        """Asks often in long work that one process does alone; see `soundflow.train.ranks`.

        The others learn of it from the store that they found each other by, so none has to ask as
        often as another.

        Raises:
            Stopped: if any process of the run was asked to stop; the caller sees to it that all
                processes leave.
        """
        number = self.asked
        if number is not None:
            _tell_others(number)
        elif several() and time.monotonic() >= self._polled_s + POLL_S:
            self._polled_s = time.monotonic()
            store = _get_default_store()
            number = int(store.get(_KEY)) if store.check([_KEY]) else None
        if number is not None:
            raise Stopped(number, together=True)

    def stop_at_once(self) -> None:
        """From here on the flag is no longer read.

        Raises:
            Stopped: if a signal came that was not read yet.
        """
        self._at_once = frozenset(SIGNALS) if self._first_process else frozenset()
        if self.asked is not None and self.asked in self._at_once:
            raise Stopped(self.asked)

    def install(self) -> None:
        """Takes the signals, also from a library that took them in the meantime."""
        if threading.current_thread() is threading.main_thread():
            for number in self._taken:
                signal.signal(number, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._owner:  # a data worker inherited the handler
            if number != signal.SIGINT:
                os._exit(128 + number)
            return
        again = number == self.asked == signal.SIGINT and self._first_process
        self.asked = number
        if number in self._at_once or again:
            raise Stopped(number)


@contextmanager
def stop_flag(*, first_process: bool) -> Iterator[StopFlag]:
    """A flag that takes the signals inside the block and gives them back behind it."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    flag = StopFlag(first_process=first_process)
    flag.install()
    mask = signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD_BACK)
    try:
        with _heard_while_waiting():
            yield flag
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        if threading.current_thread() is threading.main_thread():
            for number, handler in before.items():
                signal.signal(number, handler)


@contextmanager
def _heard_while_waiting() -> Iterator[None]:
    """Inside, the other processes learn of a signal even while this one waits for them.

    Python calls a handler between two of its own instructions, so not before a collective returns;
    the number of the signal is in the pipe at once.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers, end = os.pipe()
    os.set_blocking(end, False)
    before = signal.set_wakeup_fd(end, warn_on_full_buffer=False)
    listener = threading.Thread(target=_listen, args=(numbers,), name="signals", daemon=True)
    listener.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        os.write(end, bytes([_NO_MORE]))
        listener.join()
        os.close(numbers)
        os.close(end)


def _listen(numbers: int) -> None:
    while (number := os.read(numbers, 1)[0]) != _NO_MORE:
        if number in SIGNALS:
            with suppress(RuntimeError):  # the first process, which has the store, is gone
                _tell_others(number)


def _tell_others(number: int) -> None:
    if several():
        _get_default_store().set(_KEY, str(number))


def keep_our_signals(trainer: Trainer) -> None:
    """Keeps Lightning from taking SIGTERM: its handler talks to other ranks, in mid-update too."""
    trainer._signal_connector.register_signal_handlers = lambda: None  # type: ignore[method-assign]


def requeue(number: int) -> None:
    """Puts the SLURM job of this process back into the queue if that is what a signal asks for."""
    job = os.environ.get("SLURM_JOB_ID")
    if number != signal.SIGUSR1 or job is None:
        return
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    name = f"{array}_{task}" if array and task else job
    # Said before it is done: SLURM may end this process before the command returns.
    ERR.print(f"queueing job {name} again", soft_wrap=True)
    try:
        done = subprocess.run(
            ["scontrol", "requeue", name], capture_output=True, text=True, timeout=REQUEUE_S
        )
        why = done.stderr.strip() if done.returncode else ""
    except (OSError, subprocess.TimeoutExpired) as error:
        why = str(error)
    if why:
        ERR.print(f"job {name} was not queued again ({why}): submit it again", soft_wrap=True)


def dead_process(error: BaseException) -> str | None:
    """What an error says of another process that died, which no exception of its own tells.

    Returns:
        None where it is about something else.
    """
    said = str(error)
    lost = "gloo" in said and (" by peer" in said or "Broken pipe" in said)
    if lost or isinstance(error, dist.DistError):
        return "another process of this run ended, or cannot be reached; its own lines say why"
    if isinstance(error, RuntimeError) and said.startswith("DataLoader worker"):
        why = said.partition(".")[0].replace("DataLoader worker", "the data worker", 1)
        return f"{why}; if the machine was out of memory, take fewer data.workers"
    return None


def end_processes(trainer: Trainer, *, agreed: bool) -> None:
    """Leaves no process behind that this one started.

    Args:
        agreed: they leave on their own; otherwise they wait for this one and are killed.
    """
    started: list[subprocess.Popen[bytes]] = getattr(trainer.strategy.launcher, "procs", [])
    for process in started:
        if not agreed:
            process.kill()
        try:
            process.wait(WAIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
