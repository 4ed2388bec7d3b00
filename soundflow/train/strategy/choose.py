"""From `compute.strategy` to the object that trains."""

from __future__ import annotations

import os

import torch

from soundflow.model.interaction import AudioInteractionModel
from soundflow.train.recipe import ComputeConfig, StrategyName
from soundflow.train.strategy.fsdp import Fsdp
from soundflow.train.strategy.interface import Strategy
from soundflow.train.strategy.replicated import Ddp, Replicated


def resolved(compute: ComputeConfig) -> StrategyName:
    """What ``auto`` stands for: ZeRO-2 on several CUDA devices, DDP on several CPU processes."""
    if compute.strategy != "auto":
        return compute.strategy
    if compute.devices * compute.nodes == 1:
        return "single"
    return "zero2" if on_cuda(compute) else "ddp"


def on_cuda(compute: ComputeConfig) -> bool:
    return compute.accelerator != "cpu" and torch.cuda.is_available()


def prepare(model: AudioInteractionModel, compute: ComputeConfig) -> None:
    """Has the layers of ``model`` recomputed and compiled as ``compute`` asks."""
    model.recompute_activations(compute.recompute_share)
    if on_cuda(compute) and compiles(compute):
        model.compile_layers()


def compiles(compute: ComputeConfig) -> bool:
    """Whether layers are compiled on CUDA: a kernel needs weights that stay where they are."""
    return compute.compile and resolved(compute) not in ("zero3", "fsdp")


def build_strategy(compute: ComputeConfig, grad_norm: float) -> Strategy:
    """The strategy of a run; ``grad_norm`` is the norm that gradients are scaled down to."""
    match resolved(compute):
        case "single":
            return Replicated(grad_norm)
        case "ddp":
            return Ddp(grad_norm)
        case "fsdp":
            return Fsdp(grad_norm, compute.devices * compute.nodes)
        case name:
            # Importing DeepSpeed takes seconds, and chooses its device.
            if not on_cuda(compute):
                os.environ["DS_ACCELERATOR"] = "cpu"
            from soundflow.train.strategy.zero import Zero

            return Zero(grad_norm, int(name.removeprefix("zero")))
