"""Rotary positions as the published code counts them under its default precision.

The release runs in 16-bit precision and computes positions in it. A float16 holds every integer
up to 2048 and every second one from there, so beyond position 2048 neighbours merge: 2049 turns
like 2048, and of 4096 positions 3073 are distinct. The released weights were trained and run that
way, so reproducing their numbers needs it. Nothing of ours uses it.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from soundflow.model.interaction import AudioInteractionModel

Positions = Literal["exact", "half"]


class HalfPositions(nn.Module):
    """A rotary embedding that hears its positions rounded to float16."""

    def __init__(self, exact: nn.Module) -> None:
        super().__init__()
        self.exact = exact

    def forward(self, x: Tensor, position_ids: Tensor) -> tuple[Tensor, Tensor]:
        rounded = position_ids.to(torch.float16).to(torch.float32)
        cos_sin: tuple[Tensor, Tensor] = self.exact(x, rounded)
        return cos_sin


def set_positions(model: AudioInteractionModel, positions: Positions) -> None:
    """Switches how ``model`` counts, for every session that uses it. Weights stay as they are."""
    rotary = model.lm.model.rotary_emb
    exact = rotary.exact if isinstance(rotary, HalfPositions) else rotary
    model.lm.model.rotary_emb = HalfPositions(exact) if positions == "half" else exact
