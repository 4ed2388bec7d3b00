"""AdamW and its schedule: linear warm-up, then half a cosine (paper section "Training")."""

from __future__ import annotations

import math
from collections.abc import Iterable

from torch import Tensor, nn
from torch.optim import AdamW

from soundflow.train.host_moments import HostMomentsAdamW
from soundflow.train.recipe import OptimConfig


def lr_share(update: int, config: OptimConfig) -> float:
    """Learning rate of update ``update`` (from 0) as a share of the peak. Never 0 at the first."""
    warmup = max(1, round(config.updates * config.warmup_ratio))
    if update < warmup:
        return (update + 1) / warmup
    done = (update - warmup) / max(1, config.updates - warmup)
    cosine = 0.5 * (1.0 + math.cos(math.pi * min(1.0, done)))
    return config.final_share + (1.0 - config.final_share) * cosine


def build_optimizer(model: nn.Module, config: OptimConfig, offload_moments: bool = False) -> AdamW:
    """Decay on matrices and filters; none on biases and norms, whose scale is their meaning.

    Args:
        offload_moments: see `ComputeConfig`.
    """
    trained = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    held = [group for group in groups if group["params"]]
    betas = (config.beta_1, config.beta_2)
    kind = HostMomentsAdamW if offload_moments else AdamW
    return kind(held, lr=config.lr, betas=betas, eps=config.eps, fused=can_fuse(trained))


def can_fuse(parameters: Iterable[Tensor]) -> bool:
    """Whether one kernel can step them: each value is read once, and nothing is held beside it."""
    return all(p.device.type in ("cpu", "cuda") for p in parameters)
