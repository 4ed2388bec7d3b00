"""How many threads a model computes with: measured, because torch's default, one a core, is often
not the fastest. Every parallel region waits for the slowest thread: small products lose more by
that than they gain, and so do all of them on a machine that others use.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import torch

WORTH = 1.1  # times faster that more threads must be: fewer suffer less from other work
TOO_SLOW = 1.5  # times the best so far: fewer threads still are not tried


def cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def use_fastest_threads(most: int, seconds: Callable[[], float]) -> int:
    """Sets torch to the fewest threads that take about the least time, and returns their number.

    From many to few, until fewer are clearly slower: on a large machine a large model is never
    measured with one thread.

    Args:
        most: at least 1.
        seconds: how long a piece of the real work takes.
    """
    best, best_s = most, float("inf")
    for threads in _halved(most):
        torch.set_num_threads(threads)
        took_s = seconds()
        if took_s <= WORTH * best_s:
            best = threads
        elif took_s > TOO_SLOW * best_s:
            break
        best_s = min(best_s, took_s)
    torch.set_num_threads(best)
    return best


def _halved(most: int) -> Iterator[int]:
    """``most``, then the powers of two below it, down to 1."""
    yield most
    threads = 1 << (most - 1).bit_length() >> 1
    while threads:
        yield threads
        threads >>= 1
