"""A loaded checkpoint, ready to open sessions."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from inference.decoder.policy import UNCALIBRATED_THRESHOLD
from inference.packets import Float32
from inference.profiles import OURS, Profile
from soundflow.config.settings import NumberFormat, Precision
from soundflow.errors import UserError
from soundflow.forms.load_any import load_any
from soundflow.model.encoder import in_batches
from soundflow.model.facts import CALIBRATION_FILE
from soundflow.model.interaction import AudioInteractionModel
from soundflow.model.precision import choose_dtype, chunk_seconds, precision_name, require_device
from soundflow.model.threads import cores, use_fastest_threads
from soundflow.model.weights import (
    Checkpoint,
    cast_parameters,
    weights_fingerprint,
)
from soundflow.protocol import layout
from soundflow.protocol.spec import StreamSpec
from soundflow.stored_json import parsed
from soundflow.text.tokenizer import TextTokenizer

log = logging.getLogger(__name__)

SESSIONS_A_PASS = 8  # measured at most: more of them take longer, and choose the same


@dataclass(frozen=True)
class Engine:
    """The model with everything that sessions share. Immutable.

    Attributes:
        system: the instruction prefix of training.
        threshold: p(response) from which it speaks: calibrated, or 0.5.
        limit_positions: how many positions a memory may use: as many as in training.
        profile: how recordings are padded and positions computed.
        decides: whether the model was trained to decide when to speak; if not, it can only be asked
            about finished recordings.
    """

    model: AudioInteractionModel
    tokenizer: TextTokenizer
    spec: StreamSpec
    system: str
    threshold: float
    limit_positions: int
    profile: Profile = OURS
    decides: bool = True

    @torch.inference_mode()
    def encode(self, mel: Float32) -> Tensor:
        """Chunks of any streams in batches; each is still encoded alone.

        Args:
            mel: (n, n_mels, frames) float32.

        Returns:
            (n, slots, d), on the model's device.
        """
        return in_batches(self.model.encode, torch.from_numpy(mel), self.model.device)

    def prefix_ids(self, system: str | None = None) -> tuple[int, ...]:
        """The online prefix of a session, encoded as the builder encodes it.

        Args:
            system: instructions; those of training by default.
        """
        text = self.system if system is None else system
        return layout.online_prefix(self.spec.tokens, self.tokenizer.encode(text)).ids

    def limit_of(self, asked: int | None) -> int:
        """How many positions the memory of a session may use, of those that it asks for."""
        return min(asked or self.limit_positions, self.limit_positions)

    @property
    def precision(self) -> NumberFormat:
        """The name of the dtype of the weights."""
        return precision_name(next(self.model.parameters()).dtype)

    def weights_hash(self) -> str:
        """16 hex digits that change with any bit of any weight; reads every weight once."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.model.state_dict().items()):
            digest.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)}".encode())
            plain = tensor.detach().cpu().contiguous().reshape(-1)
            digest.update(plain.view(torch.uint8).numpy().data)
        return digest.hexdigest()[:16]


def load_engine(
    checkpoint: Path,
    device: str = "cpu",
    precision: Precision = "fp32",
    profile: Profile = OURS,
) -> Engine:
    """Reads a checkpoint folder of any form.

    It speaks from the threshold of the folder's ``calibration.json``, or from 0.5.

    Raises:
        UserError: if it is missing, damaged or none of the forms.
    """
    loaded = load_precise(partial(load_any, checkpoint, device), precision, device)
    return engine_of(loaded, read_calibration(checkpoint, loaded.model), profile)


def load_precise(
    load: Callable[[torch.dtype], Checkpoint], precision: Precision, device: str
) -> Checkpoint:
    """A checkpoint in the precision asked for; ``auto`` measures both on the model itself.

    Args:
        load: reads the checkpoint with weights of a dtype. It is called a second time only if
            float32 is faster.

    Raises:
        UserError: if there is no such device here.
    """
    require_device(device)
    loaded: list[Checkpoint] = []

    def seconds(dtype: torch.dtype) -> float:
        if not loaded:
            loaded.append(load(dtype))
        cast_parameters(loaded[0].model, dtype)
        return chunk_seconds(loaded[0].model, loaded[0].spec)

    dtype = choose_dtype(precision, device, seconds)
    if precision == "auto":
        log.info("precision: %s, the faster one here", precision_name(dtype))
    if loaded and next(loaded[0].model.parameters()).dtype == dtype:
        return loaded[0]
    loaded.clear()
    return load(dtype)


def engine_of(
    loaded: Checkpoint, threshold: float = UNCALIBRATED_THRESHOLD, profile: Profile = OURS
) -> Engine:
    """An engine around a model in memory, for instance one that is being trained."""
    limit = loaded.model.config.lm.max_positions
    return Engine(
        model=loaded.model,
        tokenizer=loaded.tokenizer,
        spec=loaded.spec,
        system=loaded.facts.system,
        threshold=threshold,
        limit_positions=min(limit, loaded.facts.trained_positions),
        profile=profile,
        decides=loaded.facts.decides,
    )


def use_threads(engine: Engine, sessions: int = 1, engines: int = 1) -> None:
    """Sets the number of threads that computes fastest here, and says it in the log.

    On a CPU, by measuring; what OMP_NUM_THREADS sets stays.

    Args:
        sessions: how many the model usually computes for at once.
        engines: how many share the cores.
    """
    if engine.model.device.type != "cpu":
        return
    if "OMP_NUM_THREADS" in os.environ:
        log.info("threads: %d, as OMP_NUM_THREADS says", torch.get_num_threads())
        return
    most, at_once = max(1, cores() // engines), min(sessions, SESSIONS_A_PASS)
    chosen = use_fastest_threads(most, lambda: chunk_seconds(engine.model, engine.spec, at_once))
    log.info("threads: %d for %d core(s), the fastest here (OMP_NUM_THREADS sets it)", chosen, most)


def read_calibration(checkpoint: Path, model: AudioInteractionModel) -> float:
    """The threshold calibrated on a held-out split, or 0.5 without one.

    One that was chosen for other weights is not used, and the log says so.

    Raises:
        UserError: if the file is there but is not a calibration.
    """
    path = checkpoint / CALIBRATION_FILE
    if not path.is_file():
        return UNCALIBRATED_THRESHOLD
    try:
        calibration = parsed(path.read_bytes())
        threshold = float(calibration["threshold"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path}: is not a calibration ({error})", "delete it and run `soundflow evaluate`"
        ) from error
    if not 0.0 <= threshold <= 1.0:
        raise UserError(f"{path}: threshold {threshold} is not within [0, 1]", "delete the file")
    fingerprint = calibration.get("fingerprint")  # a file written by hand has none
    if fingerprint is not None and fingerprint != weights_fingerprint(model):
        log.warning(
            "%s: was chosen for other weights and is not used; run `soundflow evaluate` with "
            "write_calibration=true", path,
        )  # fmt: skip
        return UNCALIBRATED_THRESHOLD
    return threshold
