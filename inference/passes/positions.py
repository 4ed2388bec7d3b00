"""How rotary positions are counted: exactly, or as the published code does in 16-bit precision.

The release computes positions in float16, which holds every integer up to 2048 and every second
one from there: beyond position 2048 neighbours merge (2049 turns like 2048), and of 4096 positions
3073 are distinct. The released weights were trained and run that way, so reproducing their numbers
needs it. Nothing of ours uses it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from inference.profiles import Positions


def rotary_positions(position_ids: Tensor, positions: Positions) -> Tensor:
    """The positions by which queries and keys are turned.

    Args:
        position_ids: int64 of any shape, 0 to 65504: places in the sequence.
        positions: ``half`` rounds them to float16.

    Returns:
        int64 of the same shape. A forward pass that takes rounded positions needs a cache: without
        one, transformers reads repeated positions as streams packed into one row.
    """
    return position_ids.to(torch.float16).long() if positions == "half" else position_ids
