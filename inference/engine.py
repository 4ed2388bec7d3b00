"""A loaded checkpoint, ready to open sessions."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch

from soundflow.errors import UserError
from soundflow.model.interaction import AudioInteractionModel
from soundflow.model.weights import Checkpoint, load_checkpoint
from soundflow.protocol.spec import StreamSpec
from soundflow.text.tokenizer import TextTokenizer

CALIBRATION_FILE = "calibration.json"
OWN_ODDS = 0.5


@dataclass(frozen=True)
class Engine:
    """The model with everything a session has to know about how it was trained.

    Attributes:
        system: the instruction prefix of training.
        threshold: p(response) from which it speaks: calibrated, or 0.5.
        limit_positions: how many positions a memory may use: what training saw.
    """

    model: AudioInteractionModel
    tokenizer: TextTokenizer
    spec: StreamSpec
    system: str
    threshold: float
    limit_positions: int


def load_engine(
    checkpoint: Path, device: str = "cpu", dtype: torch.dtype = torch.float32
) -> Engine:
    """Reads a checkpoint folder.

    Raises:
        UserError: if it is missing, damaged or of another version.
    """
    loaded = load_checkpoint(checkpoint, device, dtype)
    loaded.model.eval()
    return engine_of(loaded, read_calibration(checkpoint))


def engine_of(loaded: Checkpoint, threshold: float = OWN_ODDS) -> Engine:
    """An engine around a model in memory, for instance one that is being trained."""
    limit = loaded.model.config.lm.max_positions
    return Engine(
        model=loaded.model,
        tokenizer=loaded.tokenizer,
        spec=loaded.spec,
        system=loaded.facts.system,
        threshold=threshold,
        limit_positions=min(limit, loaded.facts.trained_positions),
    )


def read_calibration(checkpoint: Path) -> float:
    """The threshold calibrated on a held-out split, or the model's own odds without one.

    Raises:
        UserError: if the file is there but is not a calibration.
    """
    path = checkpoint / CALIBRATION_FILE
    if not path.is_file():
        return OWN_ODDS
    try:
        threshold = float(json.loads(path.read_bytes())["threshold"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path}: is not a calibration ({error})", "delete it and run `soundflow evaluate`"
        ) from error
    if not 0.0 <= threshold <= 1.0:
        raise UserError(f"{path}: threshold {threshold} is not within [0, 1]", "delete the file")
    return threshold
