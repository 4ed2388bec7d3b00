"""From logits to the next token of a reply: greedy, or temperature and top-k, never illegal."""

from __future__ import annotations

import numpy as np
import torch
from pydantic import NonNegativeFloat, PositiveInt
from pydantic.dataclasses import dataclass
from torch import Tensor

from soundflow.config.settings import SETTINGS, Seed
from soundflow.protocol.dialogue_state import Legal


@dataclass(frozen=True, config=SETTINGS)
class SamplingConfig:
    """How text is chosen. ``temperature`` 0 is greedy. Defaults are the published ones."""

    temperature: NonNegativeFloat = 0.3
    top_k: PositiveInt = 3
    max_reply_tokens: PositiveInt = 256
    seed: Seed = 0


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
        rng: used once for each token, so that a session is a function of its seed.
    """
    masked = mask_illegal(logits, legal)
    if config.temperature == 0:
        return int(masked.argmax())
    best = masked.topk(min(config.top_k, len(masked)))
    scaled = best.values.double() / config.temperature
    shares = torch.softmax(scaled, dim=0).cpu().numpy()
    drawn = int(np.searchsorted(np.cumsum(shares), rng.random(), side="right"))
    return int(best.indices[min(drawn, int(np.flatnonzero(shares)[-1]))])
