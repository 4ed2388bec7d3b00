"""The saved state of a run, so that it can be killed at any moment and resumed.

::

    output/resume/update-000000500.ckpt    Lightning's state: weights, optimiser, schedule, progress
    output/resume/update-000000500.json    written after it: size and sha256

A state without its JSON file, or that differs from it, does not count; the newest valid one is
used. States are read with ``weights_only=True``: tensors and plain values, nothing that runs.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch
from lightning import Trainer
from lightning.fabric.plugins import TorchCheckpointIO
from torch import nn

from soundflow.atomic import atomic_write, write_text
from soundflow.stored_json import parsed

FOLDER = "resume"


class AtomicCheckpointIO(TorchCheckpointIO):
    """Lightning's state files, written under another name, synced and renamed, then noted."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        target = Path(path)
        with atomic_write(target) as file:
            _save(checkpoint, file)
            n_bytes = file.seek(0, 2)
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        note = {"n_bytes": n_bytes, "sha256": digest}
        write_text(target.with_suffix(".json"), json.dumps(note))


@dataclass(frozen=True)
class States:
    """The states of the run in ``output``; the newest ``keep`` are kept."""

    output: Path
    keep: int

    def save(self, trainer: Trainer) -> None:
        """Saves the state after the newest update; all ranks take part.

        Raises:
            UserError: if the disk is full.
        """
        trainer.save_checkpoint(self._folder / f"update-{trainer.global_step:09d}.ckpt")
        if trainer.is_global_zero:
            for path in sorted(self._folder.glob("update-*.ckpt"))[: -self.keep]:
                path.with_suffix(".json").unlink(missing_ok=True)
                path.unlink()

    @property
    def _folder(self) -> Path:
        return self.output / FOLDER


class _Failing:
    """Passes bytes on to a file and keeps the error that torch replaces by one of its own."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        try:
            return self._file.write(data)
        except OSError as error:
            self.error = error
            raise

    def flush(self) -> None:
        self._file.flush()


def _save(checkpoint: dict[str, Any], file: BinaryIO) -> None:
    """`torch.save`, whose failure to write is the OSError that it was."""
    target = _Failing(file)
    try:
        torch.save(checkpoint, target)  # type: ignore[arg-type]
    except RuntimeError as error:
        raise (target.error or error) from error


def newest_state(output: Path) -> Path | None:
    """The newest whole state of a run, or None."""
    states = sorted((output / FOLDER).glob("update-*.ckpt"), reverse=True)
    return next((s for s in states if is_whole(s)), None)


def newest_update(output: Path) -> int | None:
    """The update of the newest state that was written to its end, without reading the state."""
    notes = sorted((output / FOLDER).glob("update-*.json"))
    return update_of(notes[-1]) if notes else None


def load_weights(model: nn.Module, state: Path) -> None:
    """Fills ``model``, which was the attribute ``model`` of the module that was trained."""
    stored = torch.load(state, weights_only=True, map_location="cpu")["state_dict"]
    model.load_state_dict({k.removeprefix("model."): v for k, v in stored.items()})


def update_of(state: Path) -> int:
    return int(state.stem.removeprefix("update-"))


def is_whole(state: Path) -> bool:
    """Whether a state has the size and checksum recorded when it was saved."""
    try:
        note = parsed(state.with_suffix(".json").read_bytes())
        if state.stat().st_size != note["n_bytes"]:
            return False
        with state.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return bool(digest == note["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        return False
