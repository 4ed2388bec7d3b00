"""Weights and moments on disk, by parameter name and place, whatever strategy holds them.

A rank holds *fragments*: runs of the flattened parameter, each with its float32 weights and the two
moments of AdamW. One process holds every parameter as one fragment; under ZeRO and FSDP each rank
holds a part. Written as safetensors under ``kind/start/name``, they are read back by any number of
ranks under any strategy, each reading the runs that it needs. Nothing is pickled.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from soundflow.atomic import disk_error
from soundflow.errors import UserError

WEIGHT, MOMENTS = "weight", ("exp_avg", "exp_avg_sq")
PIECE_BYTES = 1 << 30  # held in host memory at once while a state is written


@dataclass(frozen=True)
class Fragment:
    """A run of one parameter.

    Attributes:
        name: of the parameter in the model.
        start: place of the run in the flattened parameter.
        tensors: by kind, (n,) float32 each, views of what the optimiser uses.
    """

    name: str
    start: int
    tensors: Mapping[str, Tensor]

    @property
    def stop(self) -> int:
        return self.start + len(self.tensors[WEIGHT])

    @property
    def n_bytes(self) -> int:
        return sum(t.nbytes for t in self.tensors.values())

    def copied(self) -> Fragment:
        """The same numbers in host memory of their own, which the next update leaves alone."""
        host = {kind: t.detach().to("cpu", copy=True) for kind, t in self.tensors.items()}
        return replace(self, tensors=host)


def write_fragments(folder: Path, fragments: Iterable[Fragment], rank: int) -> dict[str, Any]:
    """Writes and syncs the fragments of one rank, in files of about a gigabyte.

    Returns:
        Size and SHA-256 of every file by its name.

    Raises:
        UserError: if the disk is full or the folder cannot be written.
    """
    written: dict[str, Any] = {}
    for number, piece in enumerate(_pieces(fragments)):
        path = folder / f"{rank:05d}-{number:04d}.safetensors"
        try:
            save_file(piece, path)
            with path.open("rb+") as file:
                os.fsync(file.fileno())
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except (OSError, SafetensorError) as error:
            raise _write_error(error, path) from error
        written[path.name] = {"n_bytes": path.stat().st_size, "sha256": digest}
    return written


def read_fragments(folder: Path, fragments: Iterable[Fragment]) -> None:
    """Fills fragments from a folder that any number of ranks wrote.

    Raises:
        UserError: if a part of one is not there, or a file cannot be read.
    """
    stored = _Stored(folder)
    for fragment in fragments:
        for kind, target in fragment.tensors.items():
            stored.fill(kind, fragment, target)


class _Stored:
    """Which file of a folder holds which run of which parameter."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, Any] = {}
        self._runs: dict[tuple[str, str], list[tuple[int, str, str]]] = {}
        for path in sorted(folder.glob("*.safetensors")):
            try:
                self._files[path.name] = safe_open(path, framework="pt", device="cpu")
            except (OSError, SafetensorError) as error:
                raise self._damaged(str(error)) from error
            for key in self._files[path.name].keys():  # noqa: SIM118 (not a mapping)
                kind, start, name = key.split("/", 2)
                self._runs.setdefault((kind, name), []).append((int(start), path.name, key))

    def fill(self, kind: str, fragment: Fragment, target: Tensor) -> None:
        start, stop, filled = fragment.start, fragment.stop, 0
        for begin, file, key in self._runs.get((kind, fragment.name), ()):
            run = self._files[file].get_slice(key)
            first, last = max(begin, start), min(begin + run.get_shape()[0], stop)
            if first < last:
                values = run[first - begin : last - begin]
                target[first - start : last - start].copy_(values)
                filled += last - first
        if filled != stop - start:
            raise self._damaged(f"{filled} of {stop - start} numbers of {fragment.name} are there")

    def _damaged(self, why: str) -> UserError:
        return UserError(
            f"{self._folder}: the state cannot be read ({why})",
            "remove this folder: the run then resumes from the state before it",
        )


def _pieces(fragments: Iterable[Fragment]) -> Iterator[dict[str, Tensor]]:
    piece: dict[str, Tensor] = {}
    for fragment in fragments:
        for kind, tensor in fragment.tensors.items():
            piece[f"{kind}/{fragment.start}/{fragment.name}"] = tensor.detach().cpu()
        if sum(t.nbytes for t in piece.values()) >= PIECE_BYTES:
            yield piece
            piece = {}
    if piece:
        yield piece


def _write_error(error: Exception, path: Path) -> UserError:
    number = re.search(r"os error (\d+)", str(error))  # safetensors tells it in words
    if number is not None:
        error = OSError(int(number[1]), os.strerror(int(number[1])))
    if isinstance(error, OSError):
        return disk_error(error, path)
    return UserError(f"{path}: the state cannot be written ({error})", "report it with this line")
