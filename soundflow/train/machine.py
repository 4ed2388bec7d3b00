"""Checks what a recipe needs against the machine it runs on."""

from __future__ import annotations

import os

import torch

from soundflow.errors import UserError
from soundflow.train.compute import cores
from soundflow.train.recipe import TrainRecipe
from soundflow.train.strategy.choose import resolved
from soundflow.train.strategy.interface import StrategyName


def bytes_a_parameter(strategy: StrategyName, ranks: int, *, bf16: bool) -> float:
    """What one rank holds for every parameter that trains; activations come on top.

    Weights, their gradients, and the two moments of AdamW; under ZeRO float32 masters too.
    """
    weight, masters_and_moments = (2 if bf16 else 4), 12 / ranks
    match strategy:
        case "zero1":
            return 2 * weight + masters_and_moments
        case "zero2":
            return weight + 4 / ranks + masters_and_moments
        case "zero3":
            return (weight + 4) / ranks + masters_and_moments
        case "fsdp":
            return 16 / ranks
        case _:
            return 16


def require_machine(recipe: TrainRecipe, parameters: int) -> None:
    """Refuses before any work what this machine cannot run.

    Raises:
        UserError: naming every key that asks for too much.
    """
    lines = unmet(recipe, parameters)
    if lines:
        raise UserError("\n".join(lines), "`soundflow doctor` shows what this machine has")


def unmet(recipe: TrainRecipe, parameters: int) -> list[str]:
    """One line for every key that asks for more than this machine has."""
    compute, lines = recipe.compute, []
    gpus = _gpus()
    wants_gpu = compute.accelerator in ("gpu", "cuda", "mps")
    if wants_gpu and not gpus:
        lines.append(
            f"compute.accelerator={compute.accelerator}: there is no such device here; "
            "`auto` takes what there is"
        )
    elif gpus and compute.accelerator != "cpu" and compute.devices > gpus:
        lines.append(f"compute.devices={compute.devices}: there are {gpus} here")
    if compute.threads > cores():
        lines.append(f"compute.threads={compute.threads}: there are {cores()} cores here")
    on_gpu = bool(gpus) and compute.accelerator != "cpu"
    bf16 = compute.precision == "bf16" or (compute.precision == "auto" and on_gpu)
    each = bytes_a_parameter(resolved(compute), compute.devices * compute.nodes, bf16=bf16)
    sharing = 1 if on_gpu else compute.devices
    held, there = parameters * each * sharing, _memory_bytes(on_gpu)
    if held > there:
        lines.append(
            f"model: {parameters / 1e6:.0f} M parameters take {held / 2**30:.1f} GiB with "
            f"gradients and moments in {sharing} process(es); there are {there / 2**30:.1f} GiB "
            f"here, and compute.strategy={resolved(compute)}"
        )
    return lines


def _gpus() -> int:
    if torch.cuda.is_available():
        return torch.cuda.device_count()
    return int(torch.backends.mps.is_available())


def _memory_bytes(on_gpu: bool) -> int:
    if on_gpu and torch.cuda.is_available():
        return int(torch.cuda.get_device_properties(0).total_memory)
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
