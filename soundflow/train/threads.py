"""How many threads a CPU run should use, found by trying.

On a machine that others use, two threads can be slower than one, because every parallel region
waits for the slower of them. One forward and backward pass of the real model tells.
"""

from __future__ import annotations

import os
import time

import torch

from soundflow.data.batch import Batch
from soundflow.model.interaction import AudioInteractionModel
from soundflow.train.loss import loss_sums

TRIES = 2


def choose_threads(model: AudioInteractionModel, batch: Batch, precision: torch.dtype) -> int:
    """The fastest thread count among 1, 2, 4, ... and all cores; sets it, too."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    counts = sorted({2**i for i in range(8) if 2**i <= (cores or 1)} | {cores or 1})
    seconds = {n: _seconds(model, batch, precision, n) for n in counts} if counts != [1] else {1: 0}
    best = min(seconds, key=lambda n: seconds[n])
    torch.set_num_threads(best)
    return best


def _seconds(
    model: AudioInteractionModel, batch: Batch, precision: torch.dtype, threads: int
) -> float:
    torch.set_num_threads(threads)
    best = float("inf")
    for _ in range(TRIES):
        start = time.perf_counter()
        with torch.autocast("cpu", precision, enabled=precision != torch.float32):
            sums = loss_sums(model, batch)
        torch.autograd.backward(sums.stream + sums.reply)
        best = min(best, time.perf_counter() - start)
    model.zero_grad()
    return best
