"""Work spread over processes: same results, same order, whatever their number."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from soundflow.errors import UserError

In = TypeVar("In")
Out = TypeVar("Out")

_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


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
    """
    if workers == 1 or len(tasks) <= 1:
        if initializer is not None:
            initializer(*initargs)
        for position, task in enumerate(tasks):
            yield position, work(task)
        return
    for name in _ONE_THREAD:
        os.environ.setdefault(name, "1")
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
                    waiting[pool.submit(work, following[1])] = following[0]
            done, _ = wait(waiting, return_when=FIRST_COMPLETED)
            for future in done:
                yield waiting.pop(future), future.result()
    except BrokenProcessPool as error:
        raise UserError(
            "a worker process was killed, perhaps for want of memory",
            "run the same command again; it goes on where it stopped (fewer workers need less)",
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _begin(initializer: Callable[..., None] | None, initargs: tuple[Any, ...]) -> None:
    """First thing in every worker: it must not outlive a parent that was killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_follow, args=(parent,), daemon=True).start()
    # Ctrl-C reaches the whole group; the parent alone answers it and ends the pool.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if initializer is not None:
        initializer(*initargs)


def _follow(parent: Any) -> None:
    parent.join()
    os._exit(1)
