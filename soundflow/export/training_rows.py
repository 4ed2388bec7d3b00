"""Our streams as the published training files: token rows, and the encoder's outputs beside them.

::

    SPLIT/rows.jsonl                 one row a sample (`soundflow.interop.training_rows`)
    SPLIT/features/0/AudioFeat.pt    (slots, width) of row 0: a plain tensor, read with
                                     ``torch.load(file, weights_only=True)``
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy.typing as npt
import torch
from torch import Tensor

from soundflow.atomic import atomic_write
from soundflow.audio.frontend import log_mel
from soundflow.interop.training_rows import FEATURE_FILE, TrainingRow, write_training_rows
from soundflow.model.interaction import AudioInteractionModel
from soundflow.model.weights import Checkpoint
from soundflow.protocol.front_end import FrontEnd, Maximum
from soundflow.protocol.timebase import TimeBase
from soundflow.shards.reader import ShardSet

ROWS_FILE = "rows.jsonl"


def export_training_rows(
    shards: ShardSet, folder: Path, checkpoint: Checkpoint, maximum: Maximum
) -> int:
    """Writes every sample of ``shards`` to ``folder``; the JSONL appears last.

    Args:
        checkpoint: its encoder makes the features.
        maximum: of the log-mel behind them; the published builder takes ``clip``.

    Returns:
        How many rows were written.

    Raises:
        UserError: if the checkpoint follows another stream spec, or a shard is damaged.
    """
    # The features may be made under another maximum; all else must be what the shards hold.
    spec = replace(shards.spec, front_end=checkpoint.spec.front_end)
    checkpoint.spec.require_same(spec, "the model", f"data {shards.folder}")
    front_end = replace(shards.spec.front_end, maximum=maximum)
    rows = _rows(shards, folder, checkpoint.model.eval(), front_end)
    return write_training_rows(folder / ROWS_FILE, rows)


def _rows(
    shards: ShardSet, folder: Path, model: AudioInteractionModel, front_end: FrontEnd
) -> Iterator[TrainingRow]:
    for position in range(len(shards)):
        sample = shards.read(position)
        place = f"features/{position}" if len(sample.pcm) else None
        if place is not None:
            features = chunk_features(model, sample.audio(), shards.spec.time, front_end)
            write_features(folder / place, features)
        yield TrainingRow.from_sample(sample, position, shards.spec.tokens, place)


@torch.inference_mode()
def chunk_features(
    model: AudioInteractionModel, samples: npt.ArrayLike, time: TimeBase, front_end: FrontEnd
) -> Tensor:
    """(n_slots, d) of a recording, every chunk alone; the last one is padded with zeros."""
    mel = torch.from_numpy(log_mel(samples, time, front_end)).to(model.device)
    return model.encode(mel).flatten(0, 1).cpu()


def write_features(folder: Path, features: Tensor) -> None:
    """One plain tensor, which ``torch.load(..., weights_only=True)`` reads."""
    data = io.BytesIO()
    torch.save(features.contiguous().clone(), data)
    with atomic_write(folder / FEATURE_FILE) as file:
        file.write(data.getvalue())
