"""Tensors as safetensors: one file, or shards of a maximum size with their index.

::

    model.safetensors                    where they fit in one
    model-00001-of-00003.safetensors     elsewhere, named as transformers does
    model.safetensors.index.json         the shard that each tensor is in
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from soundflow.atomic import write_text
from soundflow.errors import UserError
from soundflow.stored_json import read_object

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"


def write_shards(
    folder: Path,
    sizes: Mapping[str, int],
    read: Callable[[str], Tensor],
    limit_bytes: int,
    metadata: Mapping[str, str],
    *,
    always_index: bool = False,
    verify: bool = False,
) -> None:
    """Writes tensors in the order of ``sizes``; no more than one shard is in memory.

    Args:
        sizes: bytes of each tensor.
        limit_bytes: of a shard; a larger tensor has one to itself.
        always_index: numbers the file also where it is the only one.
        verify: compares every tensor with what is read back from the disk.

    Raises:
        OSError, SafetensorError: if a file cannot be written.
        UserError: if a tensor differs from what was written.
    """
    groups = list(_groups(sizes, limit_bytes))
    placed: dict[str, str] = {}
    numbered = len(groups) > 1 or always_index
    for number, group in enumerate(groups, start=1):
        file = f"model-{number:05}-of-{len(groups):05}.safetensors" if numbered else WEIGHTS
        tensors = {name: read(name) for name in group}
        write_tensors(folder / file, tensors, metadata)
        if verify:
            _require_same(folder / file, tensors)
        del tensors
        placed |= dict.fromkeys(group, file)
    if numbered:
        index = {"metadata": {"total_size": sum(sizes.values())}, "weight_map": placed}
        write_text(folder / INDEX, json.dumps(index, indent=1, sort_keys=True))


def read_index(path: Path) -> dict[str, str]:
    """The name of the file that each tensor is in, by the name of the tensor.

    Raises:
        UserError: if the index is damaged.
    """
    wrong = "fetch the checkpoint again"
    placed = read_object(path, absent=wrong, damaged=wrong).get("weight_map")
    if not isinstance(placed, dict) or not all(isinstance(n, str) for n in placed.values()):
        raise UserError(f"{path}: weight_map is damaged", wrong)
    return placed


def write_tensors(path: Path, tensors: dict[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Writes and syncs a safetensors file, readable by everyone who may read its folder.

    Raises:
        OSError, SafetensorError: if it cannot be written.
    """
    path.touch()
    mode = path.stat().st_mode  # as the umask gives it; safetensors makes a private file
    save_file(tensors, path, dict(metadata))
    path.chmod(mode)
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _groups(sizes: Mapping[str, int], limit_bytes: int) -> Iterator[list[str]]:
    group: list[str] = []
    held = 0
    for name, size in sizes.items():
        if group and held + size > limit_bytes:
            yield group
            group, held = [], 0
        group.append(name)
        held += size
    yield group


def _require_same(path: Path, tensors: Mapping[str, Tensor]) -> None:
    with safe_open(path, framework="pt", device="cpu") as stored:
        for name, tensor in tensors.items():
            found = stored.get_tensor(name)
            # Bytes: a weight that is not a number equals nothing.
            if found.dtype != tensor.dtype or not torch.equal(_bytes(found), _bytes(tensor)):
                raise UserError(
                    f"{path}: {name} differs from what was written",
                    "check the disk; then run the command again",
                )


def _bytes(tensor: Tensor) -> Tensor:
    return tensor.reshape(-1).view(torch.uint8)
