"""A stored checkpoint of any form, seen as ours: every tensor under our name, key by key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import torch
from torch import Tensor

from soundflow.errors import UserError
from soundflow.forms.tensor_names import NameTable, Shapes
from soundflow.model.stored_tensors import StoredTensors, all_finite


@dataclass(frozen=True)
class Rows:
    """Rows ``start:end`` of a stored tensor; all of it where the form does not stack."""

    stored: str
    start: int
    end: int


@dataclass(frozen=True)
class OurView:
    """Our names over stored tensors.

    Attributes:
        rows: where each of our tensors is stored.
        dropped: how many stored tensors of each prefix we have no place for, by declaration of
            the form.
    """

    stored: StoredTensors
    rows: Mapping[str, Rows]
    dropped: Mapping[str, int]

    def read(self, name: str) -> Tensor:
        """One tensor, contiguous, in its stored dtype.

        Raises:
            UserError: if a value is NaN or infinite, or the file cannot be read.
        """
        place = self.rows[name]
        stored = self.stored[place.stored]
        tensor = stored.read().contiguous()
        if len(tensor) != place.end - place.start:
            # A copy: a view would hold, and torch.save would write, all rows of the stored tensor.
            tensor = tensor[place.start : place.end].clone()
        if not all_finite(tensor):
            raise UserError(
                f"{stored.file}: {place.stored} holds NaN or infinity",
                "these weights cannot be used: fetch them again, or take an earlier checkpoint",
            )
        return tensor

    def dtype(self, name: str) -> torch.dtype:
        return self.stored[self.rows[name].stored].dtype

    def __iter__(self) -> Iterator[str]:
        return iter(self.rows)


def match(
    folder: Path, stored: StoredTensors, table: NameTable, shapes: Shapes, drop: tuple[str, ...]
) -> OurView:
    """Pairs every stored tensor with ours.

    Args:
        drop: prefixes of stored names that have no place in our model.

    Raises:
        UserError: naming what is missing, what matches nothing, and every shape that differs.
    """
    useless = {p: [name for name in stored if name.startswith(p)] for p in drop}
    unmatched = sorted(stored.keys() - table.keys() - {n for ns in useless.values() for n in ns})
    missing = sorted(table.keys() - stored.keys())
    if unmatched or missing:
        parts = []
        if unmatched:
            parts.append(f"{len(unmatched)} tensors match nothing: {_some(unmatched)}")
        if missing:
            parts.append(f"{len(missing)} are missing: {_some(missing)}")
        raise UserError(
            f"{folder}: " + "; ".join(parts),
            "the config and the weights belong to different models, or a file is incomplete",
        )
    rows: dict[str, Rows] = {}
    for name, ours in table.items():
        sizes = [shapes[o][0] for o in ours]
        wanted = (sum(sizes), *shapes[ours[0]][1:])
        if stored[name].shape != wanted:
            raise UserError(
                f"{stored[name].file}: {name} has shape {stored[name].shape}, "
                f"the config expects {wanted}",
                "the config and the weights belong to different models",
            )
        for our, end, size in zip(ours, accumulate(sizes), sizes, strict=True):
            rows[our] = Rows(name, end - size, end)
    return OurView(stored, rows, {p: len(ns) for p, ns in useless.items() if ns})


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
