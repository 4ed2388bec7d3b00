"""How a run computes: number format and threads, chosen by measurement.

Whole updates of the real model on real streams are timed: a single pass flatters bfloat16, whose
casts of the weights and step of the optimiser come on top. Without hardware for bfloat16 products
an update takes ten times as long in bfloat16; on a machine that others use, two threads can be
slower than one, because every parallel region waits for the slower of them.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch
from torch.optim import AdamW

from soundflow.data.batch import Update
from soundflow.model.interaction import AudioInteractionModel
from soundflow.model.precision import choose_dtype, precision_name, step_seconds
from soundflow.train.loss import loss_sums
from soundflow.train.recipe import ComputeConfig

# By how much bfloat16 must be faster on a CPU: its rounding costs accuracy, and under load the
# shorter times are the ones that grow.
MARGIN = 0.3


@dataclass(frozen=True)
class Compute:
    """What was chosen. ``dtype`` bfloat16 is autocast over float32 weights."""

    dtype: torch.dtype
    threads: int

    def __str__(self) -> str:
        return f"{precision_name(self.dtype)}, {self.threads} thread(s) a process"


def computing(dtype: torch.dtype, device: torch.device) -> torch.autocast:
    """Autocast to ``dtype`` inside the block."""
    return torch.autocast(device.type, dtype, enabled=dtype != torch.float32)


def choose_compute(
    config: ComputeConfig, model: AudioInteractionModel, update: Update, local_ranks: int = 1
) -> Compute:
    """The fastest way to run this model here; what ``config`` names is not measured.

    Args:
        update: one of the run, with whole streams, on the device of ``model``.
        local_ranks: processes of the run that share the cores of this machine.
    """
    threads = config.threads or torch.get_num_threads()

    def seconds(dtype: torch.dtype, n_threads: int) -> float:
        torch.set_num_threads(n_threads)
        # Steps of length 0 cost what others do, and leave the weights as they are.
        trained = [p for p in model.parameters() if p.requires_grad]
        optimizer = AdamW(trained, lr=0.0, weight_decay=0.0)
        return step_seconds(lambda: _update(model, optimizer, update, dtype))

    dtype = choose_dtype(config.precision, str(model.device), lambda d: seconds(d, threads), MARGIN)
    if not config.threads and model.device.type == "cpu":
        threads = min(_thread_counts(local_ranks), key=lambda n: seconds(dtype, n))
    model.zero_grad()
    torch.set_num_threads(threads)
    return Compute(dtype, threads)


def cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _thread_counts(local_ranks: int) -> list[int]:
    most = max(1, cores() // local_ranks)
    return sorted({2**i for i in range(8) if 2**i <= most} | {most})


def _update(
    model: AudioInteractionModel, optimizer: AdamW, update: Update, dtype: torch.dtype
) -> None:
    for batch in update.batches:
        with computing(dtype, model.device):
            sums = loss_sums(model, batch)
            loss = sums.stream + sums.reply
        torch.autograd.backward(loss)
    optimizer.step()
    optimizer.zero_grad()
