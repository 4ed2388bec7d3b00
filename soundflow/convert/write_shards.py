"""Tensors of a result, read and cast as they are written: one shard in memory at a time."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from soundflow.errors import UserError
from soundflow.forms.our_view import OurView
from soundflow.forms.tensor_names import NameTable, Shapes
from soundflow.model.stored_tensors import all_finite
from soundflow.model.weight_files import write_shards

OnBytes = Callable[[int], None]


@dataclass(frozen=True)
class Target:
    """The tensors of a result: ours, under a form's names, in the requested dtype.

    Attributes:
        dtype: None keeps what each tensor has.
        on_bytes: called with the size in the source of every tensor that is done.
    """

    view: OurView
    shapes: Shapes
    dtype: torch.dtype | None
    on_bytes: OnBytes

    def n_bytes(self, table: NameTable) -> dict[str, int]:
        """Size of each tensor of ``table`` once it is written."""
        return {
            name: sum(math.prod(self.shapes[o]) for o in ours) * self._dtype(ours[0]).itemsize
            for name, ours in table.items()
        }

    def read(self, name: str, ours: Sequence[str]) -> Tensor:
        """Ours, stacked by rows and cast.

        Raises:
            UserError: if a value is not finite, or does not fit the requested dtype.
        """
        wanted = self._dtype(ours[0])
        parts = [self.view.read(o) for o in ours]
        tensor = parts[0] if len(parts) == 1 else torch.cat([p.to(wanted) for p in parts])
        cast = tensor.to(wanted)
        if wanted != tensor.dtype and not all_finite(cast):
            raise UserError(
                f"{name}: a value overflows {wanted}", "keep the dtype, or use dtype=bfloat16"
            )
        self.on_bytes(sum(p.nbytes for p in parts))
        return cast

    def _dtype(self, ours: str) -> torch.dtype:
        return self.dtype or self.view.dtype(ours)


def write_target(
    folder: Path,
    target: Target,
    table: NameTable,
    limit_bytes: int,
    metadata: Mapping[str, str],
    always_index: bool = False,
) -> None:
    """``model.safetensors``, or numbered shards with their index where one is not enough."""
    write_shards(
        folder,
        target.n_bytes(table),
        lambda name: target.read(name, table[name]),
        limit_bytes,
        metadata,
        always_index=always_index,
    )


def write_pth(file: Path, target: Target, table: NameTable) -> None:
    """A state dict of plain tensors, as ``torch.load(..., weights_only=True)`` reads it."""
    torch.save({name: target.read(name, ours) for name, ours in table.items()}, file)
    _sync(file)


def _sync(file: Path) -> None:
    with file.open("rb") as handle:
        os.fsync(handle.fileno())
