"""Runs work in processes: same results and order for any number of them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import resource_tracker
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import Any, TypeVar

from soundflow.errors import UserError

In = TypeVar("In")
Out = TypeVar("Out")

Progress = Callable[[str, int, int], None]  # (stage, done, total)

_GRACE_S = 1.0
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def unseen(stage: str, done: int, total: int) -> None:
    """No progress is shown."""


def n_workers(asked: int) -> int:
    """``asked``, or one for every core this process may use."""
    return asked or len(os.sched_getaffinity(0))


def spread(
    work: Callable[[In], Out],
    tasks: Sequence[In],
    workers: int,
    initializer: Callable[..., None] | None = None,
    initargs: tuple[Any, ...] = (),
) -> Iterator[tuple[int, Out]]:
    """Runs ``work`` on every task; yields ``(position, result)`` as each one ends.

    With one worker everything runs in this process. Otherwise fresh processes are spawned, each
    with single-threaded numerics; ``work`` must be importable, and ``initializer`` runs once in
    each.

    Raises:
        UserError: if a process was killed from outside.
        Exception: the first one that ``work`` raises; tasks not begun yet are then given up.
        KeyboardInterrupt: as it came; the processes are ended at once.
    """
    if workers == 1 or len(tasks) <= 1:
        if initializer is not None:
            initializer(*initargs)
        for position, task in enumerate(tasks):
            yield position, work(task)
        return
    for name in _ONE_THREAD:
        os.environ.setdefault(name, "1")
    _start_tracker()
    pool = ProcessPoolExecutor(
        min(workers, len(tasks)),
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_begin,
        initargs=(initializer, initargs),
    )
    try:
        # Two tasks a worker in flight: memory stays flat however long the list is.
        waiting: dict[Future[Out], int] = {}
        remaining = iter(enumerate(tasks))
        more = True
        while more or waiting:
            while more and len(waiting) < 2 * workers:
                following = next(remaining, None)
                if following is None:
                    more = False
                else:
                    waiting[pool.submit(_run, work, following[1])] = following[0]
            done, _ = wait(waiting, return_when=FIRST_COMPLETED)
            for future in done:
                yield waiting.pop(future), future.result()
    except BrokenProcessPool as error:
        raise UserError(
            "a worker process was killed, perhaps for lack of memory",
            "run the same command again; it resumes where it stopped (fewer workers need less "
            "memory)",
        ) from error
    except (KeyboardInterrupt, GeneratorExit):  # work in progress is no longer needed
        _end(multiprocessing.active_children())
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _start_tracker() -> None:
    """Starts the interpreter's own helper so that a terminal that closes does not kill it.

    It already ignores SIGINT and SIGTERM; without it every shared semaphore is reported as leaked.
    """
    before = signal.getsignal(signal.SIGHUP)
    if threading.current_thread() is not threading.main_thread() or before is None:
        return
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    resource_tracker.ensure_running()
    signal.signal(signal.SIGHUP, before)


def _end(workers: list[BaseProcess]) -> None:
    """Ends processes: each may remove its unfinished files, but none may delay the exit."""
    for worker in workers:
        worker.terminate()
    until = time.monotonic() + _GRACE_S
    for worker in workers:
        worker.join(max(0.0, until - time.monotonic()))
        if worker.is_alive():
            worker.kill()


class _Ended(BaseException):
    """SIGTERM in a worker that is at work."""


_working = False


def _run(work: Callable[[In], Out], task: In) -> Out:
    """``work(task)`` in a worker; on SIGTERM it leaves through every `finally`."""
    global _working
    _working = True
    try:
        return work(task)
    except _Ended:
        os._exit(128 + signal.SIGTERM)
    finally:
        _working = False


def _on_sigterm(number: int, frame: FrameType | None) -> None:
    if not _working:
        os._exit(128 + number)
    signal.signal(number, signal.SIG_IGN)
    raise _Ended


def _begin(initializer: Callable[..., None] | None, initargs: tuple[Any, ...]) -> None:
    """First thing in every worker: it must not outlive a parent that was killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_follow, args=(parent,), daemon=True).start()
    # Ctrl-C and a closing terminal reach the whole group; the parent alone answers and ends us.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _on_sigterm)
    if initializer is not None:
        initializer(*initargs)


def _follow(parent: Any) -> None:
    parent.join()
    os._exit(1)
