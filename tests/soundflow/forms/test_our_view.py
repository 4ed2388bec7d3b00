"""Tensors of any form under our names."""

from __future__ import annotations

from pathlib import Path

import torch

from soundflow.forms.our_view import OurView, Rows
from soundflow.model.stored_tensors import StoredTensor


def test_a_part_of_a_stacked_tensor_holds_its_own_rows_alone() -> None:
    stacked = torch.arange(12.0).view(6, 2)
    stored = {"qkv": StoredTensor(Path("a"), (6, 2), torch.float32, lambda: stacked)}
    key = OurView(stored, {"k": Rows("qkv", 2, 4)}, {}).read("k")
    assert key.tolist() == [[4.0, 5.0], [6.0, 7.0]]
    assert key.untyped_storage().nbytes() == key.nbytes
