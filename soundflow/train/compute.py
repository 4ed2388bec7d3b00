"""How a run computes: number format and threads, chosen by measurement.

Whole updates of the real model on real streams are timed: a single pass flatters bfloat16, whose
casts of the weights and step of the optimiser come on top. Without hardware for bfloat16 products
an update takes ten times as long in bfloat16; on a machine that others use, two threads can be
slower than one, because every parallel region waits for the slower of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.optim import AdamW

from soundflow.data.batch import Update
from soundflow.model.interaction import AudioInteractionModel
from soundflow.model.precision import choose_dtype, precision_name, step_seconds
from soundflow.model.threads import cores, use_fastest_threads
from soundflow.train.loss import loss_sums
from soundflow.train.optim import can_fuse
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

    def seconds(dtype: torch.dtype) -> float:
        # Steps of length 0 cost what others do, and leave the weights as they are.
        trained = [p for p in model.parameters() if p.requires_grad]
        optimizer = AdamW(trained, lr=0.0, weight_decay=0.0, fused=can_fuse(trained))
        return step_seconds(lambda: _update(model, optimizer, update, dtype))

    torch.set_num_threads(threads)
    dtype = choose_dtype(config.precision, str(model.device), seconds, MARGIN)
    if not config.threads and model.device.type == "cpu":
        most = max(1, cores() // local_ranks)
        threads = use_fastest_threads(most, lambda: seconds(dtype))
    model.zero_grad()
    return Compute(dtype, threads)


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
