"""Checks what a recipe needs against the machine it runs on."""

from __future__ import annotations

import os

import torch

from soundflow.errors import UserError
from soundflow.model.config import ModelConfig
from soundflow.model.interaction import empty_model
from soundflow.model.threads import cores
from soundflow.protocol.tokens import TokenTable
from soundflow.train.launch import launcher
from soundflow.train.memory import Memory, held
from soundflow.train.recipe import TrainRecipe
from soundflow.train.stages import apply_stage
from soundflow.train.strategy.choose import resolved

# Two processes get on with each other on one core too; more only wait.
_PROCESSES_A_CPU_RUNS = 2


def held_by(recipe: TrainRecipe, config: ModelConfig, tokens: TokenTable) -> Memory:
    """What each rank of the run holds, without holding it."""
    model = empty_model(config, tokens)
    apply_stage(model, recipe.stage, recipe.seed)
    compute = recipe.compute
    bf16 = compute.precision == "bf16" or (compute.precision == "auto" and _on_gpu(recipe))
    return held(
        model,
        dtype=torch.bfloat16 if bf16 else torch.float32,
        strategy=resolved(compute),
        world=compute.devices * compute.nodes,
        offload_moments=compute.offload_moments and _on_gpu(recipe),
    )


def require_machine(recipe: TrainRecipe, memory: Memory) -> None:
    """Refuses before any work what this machine cannot run.

    Args:
        memory: what a rank takes, or `held_by` at the least.

    Raises:
        UserError: naming every key that asks for too much.
    """
    lines = unmet(recipe, memory)
    if lines:
        raise UserError("\n".join(lines), "`soundflow doctor` shows what this machine has")


def unmet(recipe: TrainRecipe, memory: Memory) -> list[str]:
    """One line for every key that asks for more than this machine has; see `require_machine`.

    A run on several nodes is compared with a machine of theirs only: the login node of a cluster,
    where its plan is looked at, is not one of them.
    """
    compute, lines = recipe.compute, []
    if compute.nodes > 1 and launcher() is None:
        return [
            f"compute.nodes={compute.nodes}: no launcher started this process, so it would wait "
            "for the other nodes; start it with srun (slurm/train.sbatch) or torchrun, or set "
            "compute.nodes=1"
        ]
    gpus = _gpus()
    wants_gpu = compute.accelerator in ("gpu", "cuda", "mps")
    if wants_gpu and not gpus:
        lines.append(
            f"compute.accelerator={compute.accelerator}: there is no such device here; "
            "`auto` takes what there is"
        )
    elif gpus and compute.accelerator != "cpu" and compute.devices > gpus:
        lines.append(f"compute.devices={compute.devices}: there are {gpus} here")
    if not _on_gpu(recipe) and compute.devices > max(cores(), _PROCESSES_A_CPU_RUNS):
        lines.append(
            f"compute.devices={compute.devices}: on a CPU these are processes, and there are "
            f"{cores()} cores here"
        )
    if compute.threads > cores():
        lines.append(f"compute.threads={compute.threads}: there are {cores()} cores here")
    sharing = 1 if _on_gpu(recipe) else compute.devices
    needed, there = memory.peak * sharing, _memory_bytes(_on_gpu(recipe))
    if needed > there:
        lines.append(
            f"model: {memory.parameters / 1e6:,.0f} M parameters, {memory.trained / 1e6:,.2f} M of "
            f"them trained, take {needed / 2**30:,.1f} GiB in {sharing} process(es); there are "
            f"{there / 2**30:,.1f} GiB here, and compute.strategy={resolved(compute)}"
        )
    pinned, host = memory.host * compute.devices, _memory_bytes(on_gpu=False)
    if pinned > host:
        lines.append(
            f"compute.offload_moments: the moments take {pinned / 2**30:,.1f} GiB of host memory "
            f"for {compute.devices} device(s); there are {host / 2**30:,.1f} GiB here"
        )
    return lines


def _on_gpu(recipe: TrainRecipe) -> bool:
    return bool(_gpus()) and recipe.compute.accelerator != "cpu"


def _gpus() -> int:
    if torch.cuda.is_available():
        return torch.cuda.device_count()
    return int(torch.backends.mps.is_available())


def _memory_bytes(on_gpu: bool) -> int:
    if on_gpu and torch.cuda.is_available():
        return int(torch.cuda.get_device_properties(0).total_memory)
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
