"""The keys and values of several streams of different lengths, each at its own positions.

::

    row 0   k k k k k k · ·        column = position in the stream
    row 1   k k k · · · · ·        positions beyond a row's length are never attended to and are
    row 2   k k k k k k k ·        overwritten when the row gets there
"""

from __future__ import annotations

import torch
from torch import Tensor
from transformers.cache_utils import Cache


class RaggedCache(Cache):  # type: ignore[misc]
    """A cache that writes at given positions, so that a row can be rewound or left unchanged."""

    def __init__(self) -> None:
        super().__init__(layers=[])
        self._keys: list[Tensor] = []
        self._values: list[Tensor] = []
        self._positions = torch.zeros((0, 0), dtype=torch.long)
        self._used = 0

    def place(self, positions: Tensor) -> Tensor:
        """Says where the next forward pass writes, (B, L) int64, before it runs.

        Returns:
            (B, 1, L, used) bool: each query sees its own position and all before it.
        """
        self._positions = positions
        self._used = max(self._used, int(positions.max()) + 1)
        columns = torch.arange(self._used, device=positions.device)
        return (columns <= positions.unsqueeze(-1)).unsqueeze(1)

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: object
    ) -> tuple[Tensor, Tensor]:
        """transformers' hook: (B, heads, L, d) in, everything up to ``used`` out."""
        if layer_idx == len(self._keys):
            shape = (*key_states.shape[:2], 0, key_states.shape[3])
            self._keys.append(key_states.new_zeros(shape))
            self._values.append(value_states.new_zeros(shape))
        return (
            self._write(self._keys, layer_idx, key_states),
            self._write(self._values, layer_idx, value_states),
        )

    def _write(self, layers: list[Tensor], layer: int, states: Tensor) -> Tensor:
        held = layers[layer]
        if held.shape[2] < self._used:
            # Zeros, not garbage: a masked NaN would still spoil the sum over values.
            room = held.new_zeros((*held.shape[:2], 2 * self._used - held.shape[2], held.shape[3]))
            held = layers[layer] = torch.cat((held, room), dim=2)
        rows = torch.arange(len(states), device=states.device).unsqueeze(1)
        held[rows, :, self._positions] = states.transpose(1, 2)
        return held[:, :, : self._used]

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Unused: positions are always given explicitly."""
        return 0
