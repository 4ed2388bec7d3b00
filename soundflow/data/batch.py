"""What one forward pass takes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """Rows of tokens, padded on the right, and the audio of all of them.

    Attributes:
        ids: (B, L) int64.
        roles: (B, L) int8, values of `soundflow.protocol.layout.Role`; CONTEXT where padded.
        mel: (n, n_mels, frames) float32: the chunks of all rows, in the order of their slots.
    """

    ids: Tensor
    roles: Tensor
    mel: Tensor

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Batch:
        tensors = (self.ids, self.roles, self.mel)
        return Batch(*(t.to(device, non_blocking=non_blocking) for t in tensors))

    def pin_memory(self) -> Batch:
        return Batch(*(t.pin_memory() for t in (self.ids, self.roles, self.mel)))
