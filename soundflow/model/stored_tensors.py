"""Tensors on disk by name, stored as safetensors shards or as a ``.pth``.

Nothing is read before it is asked for, and nothing is kept: a 12 GB checkpoint is walked through
with one tensor in memory at a time. A ``.pth`` is read with ``weights_only=True``: tensors and
nothing that could run.
"""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from soundflow.errors import UserError
from soundflow.model.weight_files import INDEX, WEIGHTS, read_index

_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
}


@dataclass(frozen=True)
class StoredTensor:
    """The place, shape and dtype of a stored tensor, without its values."""

    file: Path
    shape: tuple[int, ...]
    dtype: torch.dtype
    read: Callable[[], Tensor]

    @property
    def n_bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


StoredTensors = Mapping[str, StoredTensor]


def from_safetensors(folder: Path) -> dict[str, StoredTensor]:
    """All tensors of ``model.safetensors``, or of the shards that the index names.

    Raises:
        UserError: if there are none, a file is damaged, or the index and the shards disagree.
    """
    index = folder / INDEX
    if index.is_file():
        placed = read_index(index)
        found: dict[str, StoredTensor] = {}
        for name in sorted(set(placed.values())):
            for key, tensor in _open_safetensors(folder / name).items():
                if placed.get(key) != name:
                    said = f"is in {placed[key]}" if key in placed else "is nowhere"
                    raise UserError(
                        f"{folder / name}: holds {key}, which {said} by the index",
                        "the shards and the index belong to different models; fetch them again",
                    )
                found[key] = tensor
        missing = sorted(placed.keys() - found.keys())
        if missing:
            raise UserError(
                f"{index}: no shard holds {len(missing)} of its tensors, first {missing[0]}",
                "a shard is damaged or from another model; fetch it again",
            )
        return found
    if (folder / WEIGHTS).is_file():
        return _open_safetensors(folder / WEIGHTS)
    raise UserError(f"{folder}: holds neither {INDEX} nor {WEIGHTS}", "name a checkpoint folder")


def from_pth(file: Path) -> dict[str, StoredTensor]:
    """The tensors of a state dict saved by ``torch.save``.

    Raises:
        UserError: if it is damaged, or holds anything but tensors by name.
    """
    try:
        state = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError as error:
        raise UserError(
            f"{file}: holds more than tensors, so it is not opened",
            "expected a state dict: torch.save(model.state_dict(), path)",
        ) from error
    except (RuntimeError, OSError, EOFError) as error:
        raise _unreadable(file, error) from error
    if not isinstance(state, dict) or not all(
        isinstance(k, str) and isinstance(v, Tensor) for k, v in state.items()
    ):
        raise UserError(
            f"{file}: is not a flat state dict of tensors", "save model.state_dict() alone"
        )
    return {
        name: StoredTensor(file, tuple(value.shape), value.dtype, value.detach)
        for name, value in state.items()
    }


def prefixed(prefix: str, tensors: StoredTensors) -> dict[str, StoredTensor]:
    return {prefix + name: tensor for name, tensor in tensors.items()}


def files_of(tensors: Iterable[StoredTensor]) -> list[Path]:
    return sorted({tensor.file for tensor in tensors})


def all_finite(tensor: Tensor) -> bool:
    """Whether no value is NaN or infinite.

    Least and largest value are NaN where any value is. To look for them takes a CPU a hundredth of
    the time of `torch.isfinite`: 0.1 s for 1 GB.
    """
    return tensor.numel() == 0 or bool(torch.stack(tensor.aminmax()).isfinite().all())


def _open_safetensors(file: Path) -> dict[str, StoredTensor]:
    found: dict[str, StoredTensor] = {}
    try:
        with safe_open(file, framework="pt", device="cpu") as shard:
            for name in shard.keys():  # noqa: SIM118 (not a mapping)
                part = shard.get_slice(name)
                dtype = _DTYPES.get(part.get_dtype())
                if dtype is None:
                    raise UserError(
                        f"{file}: {name} has the type {part.get_dtype()}",
                        f"supported: {', '.join(_DTYPES)}; quantised weights are not",
                    )
                found[name] = StoredTensor(
                    file, tuple(part.get_shape()), dtype, partial(_read, file, name)
                )
    except FileNotFoundError as error:
        raise UserError(f"{file}: no such file", "the index names it; fetch it again") from error
    except (SafetensorError, OSError) as error:
        raise _unreadable(file, error) from error
    return found


def _read(file: Path, name: str) -> Tensor:
    # Opened anew for each tensor: pages that were read go back to the system with the mapping.
    try:
        with safe_open(file, framework="pt", device="cpu") as shard:
            tensor: Tensor = shard.get_tensor(name)
            return tensor
    except (SafetensorError, OSError) as error:
        raise _unreadable(file, error) from error


def _unreadable(file: Path, error: Exception) -> UserError:
    return UserError(f"{file}: cannot be read ({_first_line(error)})", "fetch it again")


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
