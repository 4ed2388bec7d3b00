"""From logits to the next token of a reply: greedy, or temperature and top-k, never illegal."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from soundflow.protocol.dialogue_state import Legal


@dataclass(frozen=True)
class SamplingConfig:
    """How text is chosen. ``temperature`` 0 is greedy. Defaults are the published ones."""

    temperature: float = 0.3
    top_k: int = 3
    max_reply_tokens: int = 256
    seed: int = 0

    def __post_init__(self) -> None:
        if self.temperature < 0:
            raise ValueError(f"temperature must not be negative, got {self.temperature}")
        if self.top_k < 1:
            raise ValueError(f"top_k must be at least 1, got {self.top_k}")
        if self.max_reply_tokens < 1:
            raise ValueError(f"max_reply_tokens must be at least 1, got {self.max_reply_tokens}")


def mask_illegal(logits: Tensor, legal: Legal) -> Tensor:
    """(vocabulary,) with minus infinity wherever the state machine forbids the token."""
    if legal.only:
        masked = torch.full_like(logits, float("-inf"))
        allowed = list(legal.only)
        masked[allowed] = logits[allowed]
        return masked
    masked = logits.clone()
    masked[list(legal.never)] = float("-inf")
    return masked


def choose(logits: Tensor, legal: Legal, config: SamplingConfig, rng: np.random.Generator) -> int:
    """One token of a reply.

    Args:
        logits: (vocabulary,) float32.
        rng: drawn from once a token, so that a session is a function of its seed.
    """
    masked = mask_illegal(logits, legal)
    if config.temperature == 0:
        return int(masked.argmax())
    best = masked.topk(min(config.top_k, len(masked)))
    scaled = best.values.double() / config.temperature
    shares = torch.softmax(scaled, dim=0).cpu().numpy()
    drawn = int(np.searchsorted(np.cumsum(shares), rng.random(), side="right"))
    return int(best.indices[min(drawn, int(np.flatnonzero(shares)[-1]))])
