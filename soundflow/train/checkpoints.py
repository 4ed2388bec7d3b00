"""The state of a run, so that it can be killed at any moment and goes on where it was.

::

    output/resume/update-000500.ckpt     Lightning's state: weights, optimiser, schedule, progress
    output/resume/update-000500.json     written after it: size and sha256

A state without its note, or that differs from it, does not count; the newest that counts is taken.
States are read with ``weights_only=True``: tensors and plain values, nothing that runs.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.callbacks import Callback

from soundflow.atomic import atomic_write, write_text

FOLDER = "resume"


class AtomicCheckpointIO(TorchCheckpointIO):
    """Lightning's state files, written under another name, synced and renamed, then noted."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        target = Path(path)
        with atomic_write(target) as file:
            torch.save(checkpoint, file)
            n_bytes = file.seek(0, 2)
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        note = {"n_bytes": n_bytes, "sha256": digest}
        write_text(target.with_suffix(".json"), json.dumps(note))


class SaveState(Callback):
    """Saves every ``every`` updates and after the last one; keeps the newest ``keep`` states."""

    def __init__(self, output: Path, every: int, keep: int) -> None:
        self._folder = output / FOLDER
        self._every = every
        self._keep = keep

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step % self._every == 0 or trainer.global_step == trainer.max_steps:
            path = self._folder / f"update-{trainer.global_step:06d}.ckpt"
            trainer.save_checkpoint(path)
            if trainer.is_global_zero:
                self._forget_old()

    def _forget_old(self) -> None:
        for path in sorted(self._folder.glob("update-*.ckpt"))[: -self._keep]:
            path.with_suffix(".json").unlink(missing_ok=True)
            path.unlink()


def newest_state(output: Path) -> Path | None:
    """The newest whole state of a run, or None."""
    states = sorted((output / FOLDER).glob("update-*.ckpt"), reverse=True)
    return next((s for s in states if is_whole(s)), None)


def update_of(state: Path) -> int:
    return int(state.stem.removeprefix("update-"))


def is_whole(state: Path) -> bool:
    """Whether a state is exactly what was noted when it was saved."""
    try:
        note = json.loads(state.with_suffix(".json").read_bytes())
        if state.stat().st_size != note["n_bytes"]:
            return False
        with state.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return bool(digest == note["sha256"])
    except (OSError, ValueError, KeyError):
        return False
