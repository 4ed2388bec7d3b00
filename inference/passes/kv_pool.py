"""One pool of keys and values for all sessions: a row each, positions in order, nothing moved.

::

    row 0   [prefix][block][block][block ▸ · · · ·]     a column is a position; · is unused
    row 1   [prefix][block ▸ · · · · · · · · · · ·]
    row 2   (free)

    append      writes at the end of a row                          a forward pass
    rollback    shortens a row                                      nothing moves
    evict       takes whole spans out and closes the gaps           keys are turned to new positions
    copy        fills a row from another: the shared prefix         nothing is computed

Keys are kept as they were turned by their rotary position. Turning them on by the difference of two
positions gives exactly the keys of the new position (R(a) R(b) = R(a + b); Su et al. 2021, section
3.2), so evicting costs a copy, not a forward pass.
"""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from inference.passes.positions import rotary_positions
from inference.profiles import Positions
from soundflow.model.interaction import AudioInteractionModel


@dataclass(frozen=True)
class Segment:
    """Consecutive positions ``start`` to ``end`` of a row, that a forward pass appends."""

    row: int
    start: int
    end: int


@dataclass(frozen=True)
class Saved:
    """The keys and values of the first positions of a row, (layers, kv_heads, n, d) each."""

    keys: Tensor
    values: Tensor


class KvPool:
    """Buffers of one size for every session, allocated once.

    On a CPU the operating system commits their memory as rows are filled.

    Args:
        rows: how many sessions fit.
        columns: positions of a row.
        positions: how rotary positions are counted.
        spare: rows behind those, for what a pass computes of no session.
    """

    def __init__(
        self,
        model: AudioInteractionModel,
        rows: int,
        columns: int,
        positions: Positions = "exact",
        spare: int = 0,
    ) -> None:
        lm, config = model.lm.model, model.config.lm
        weight = lm.embed_tokens.weight
        d = config.width // config.heads
        shape = (rows + spare, config.kv_heads, columns, d)
        self.keys = [_zeros(shape, weight) for _ in range(config.layers)]
        self.values = [_zeros(shape, weight) for _ in range(config.layers)]
        self.rows, self.columns = rows, columns
        places = torch.arange(columns, device=weight.device)
        places = rotary_positions(places, positions)
        example = torch.zeros(
            1, device=weight.device
        )  # float32: turned once more in full precision
        cos, sin = lm.rotary_emb(example, places.unsqueeze(0))
        self._cos, self._sin = cos[0], _first_half_negative(sin[0])  # (columns, d), for `turned`
        self._lengths = [0] * rows
        self._touched = [0] * rows  # the highest length since the row was wiped
        self._free = list(range(rows))[::-1]

    @property
    def free_rows(self) -> int:
        return len(self._free)

    def allocate(self) -> int:
        """An empty row.

        Raises:
            RuntimeError: if all are in use.
        """
        if not self._free:
            raise RuntimeError("every row of the pool is in use")
        return self._free.pop()

    def release(self, row: int) -> None:
        """Frees a row. What it held is wiped: NaN of a failed session must not reach the next."""
        for buffer in (*self.keys, *self.values):
            buffer[row, :, : self._touched[row]] = 0.0
        self._lengths[row] = self._touched[row] = 0
        self._free.append(row)

    def length(self, row: int) -> int:
        return self._lengths[row]

    def extend(self, row: int, n: int) -> Segment:
        """Reserves the next ``n`` positions of a row for the forward pass that follows.

        Raises:
            ValueError: if they do not fit.
        """
        start = self._lengths[row]
        if start + n > self.columns:
            raise ValueError(f"row {row}: {start} + {n} positions exceed {self.columns}")
        self._lengths[row] = start + n
        self._touched[row] = max(self._touched[row], start + n)
        return Segment(row, start, start + n)

    def rotary(self, positions: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Cosines and sines (n, d) of positions (n,), for `turned`."""
        return self._cos[positions].to(dtype), self._sin[positions].to(dtype)

    def rollback(self, row: int, length: int) -> None:
        """Forgets all positions from ``length`` on."""
        if not 0 <= length <= self._lengths[row]:
            raise ValueError(f"row {row} holds {self._lengths[row]} positions, not {length}")
        self._lengths[row] = length

    def evict(self, row: int, spans: Sequence[tuple[int, int]]) -> None:
        """Takes spans [start, end) out of a row; what follows moves up to close the gaps.

        Keys, values and positions of what remains are those of a row without the spans, with one
        exception that no eviction can avoid: from the second layer on they were computed while
        the evicted positions could still be attended to, and keep what they took from them.
        """
        device = self._cos.device
        first, length = min(start for start, _ in spans), self._lengths[row]
        stays = torch.ones(length, dtype=torch.bool)
        for start, end in spans:
            stays[start:end] = False
        stays[:first] = False  # neither moved nor evicted
        moved = stays.nonzero()[:, 0].to(device)
        end = first + len(moved)
        cos, sin = self._turn(moved, torch.arange(first, end, device=device))
        for keys, values in zip(self.keys, self.values, strict=True):
            kept = keys[row].index_select(1, moved).float()
            keys[row, :, first:end] = turned(kept, cos, sin).to(keys.dtype)
            values[row, :, first:end] = values[row].index_select(1, moved)
        self._lengths[row] = end

    def _turn(self, before: Tensor, after: Tensor) -> tuple[Tensor, Tensor]:
        """Cosine and sine of the angle between two positions, (n, d) float32."""
        cos, sin = self._cos[before], self._sin[before]
        new_cos, new_sin = self._cos[after], self._sin[after]
        return new_cos * cos + new_sin * sin, new_sin * cos - new_cos * sin

    def save(self, row: int) -> Saved:
        """What a row holds, to be copied into others."""
        end = self._lengths[row]
        keys = torch.stack([k[row, :, :end] for k in self.keys])
        return Saved(keys, torch.stack([v[row, :, :end] for v in self.values]))

    def copy(self, saved: Saved, row: int) -> None:
        """Fills an empty row with what was saved of another."""
        end = saved.keys.shape[2]
        for layer, (keys, values) in enumerate(zip(self.keys, self.values, strict=True)):
            keys[row, :, :end] = saved.keys[layer]
            values[row, :, :end] = saved.values[layer]
        self._lengths[row] = end
        self._touched[row] = max(self._touched[row], end)


def _zeros(shape: tuple[int, ...], like: Tensor) -> Tensor:
    """Zeros, not garbage: a masked NaN would still spoil the sum over values."""
    if like.device.type != "cpu":
        return torch.zeros(shape, dtype=like.dtype, device=like.device)
    # Pages that nobody has written stay with the operating system: torch.zeros would write all of
    # them, and numpy asks for huge pages, of which the first positions of a few heads fill a row.
    n_bytes = int(np.prod(shape)) * like.element_size()
    pages = mmap.mmap(-1, n_bytes, access=mmap.ACCESS_COPY)
    return torch.frombuffer(pages, dtype=like.dtype).view(shape)


def turned(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """(..., d) turned by angles, in transformers' layout: halves, not pairs.

    Args:
        cos, sin: broadcast over ``x``; the first half of the sines with the opposite sign.
    """
    return torch.addcmul(x * cos, x.roll(x.shape[-1] // 2, -1), sin)


def _first_half_negative(x: Tensor) -> Tensor:
    low, high = x.chunk(2, dim=-1)
    return torch.cat((-low, high), dim=-1)
