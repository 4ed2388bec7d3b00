"""What makes training on a CPU fast: the thread count and the attention kernel.

On a machine that others use, two threads can be slower than one, because every parallel region
waits for the slower of them; one forward and backward pass of the real model tells. The fused
attention kernel is made for long sequences: at a few hundred positions plain bfloat16 products take
a third less time for a whole update.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from soundflow.data.batch import Batch
from soundflow.model.interaction import AudioInteractionModel
from soundflow.train.loss import loss_sums

TRIES = 2


@contextmanager
def short_sequence_attention() -> Iterator[None]:
    """Attention as plain products, in the dtype of its inputs, inside the block."""
    before = torch.backends.cuda.fp16_bf16_reduction_math_sdp_allowed()  # type: ignore[no-untyped-call]
    torch.backends.cuda.allow_fp16_bf16_reduction_math_sdp(True)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.cuda.allow_fp16_bf16_reduction_math_sdp(before)


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
        autocast = torch.autocast("cpu", precision, enabled=precision != torch.float32)
        with short_sequence_attention(), autocast:
            sums = loss_sums(model, batch)
        torch.autograd.backward(sums.stream + sums.reply)
        best = min(best, time.perf_counter() - start)
    model.zero_grad()
    return best
