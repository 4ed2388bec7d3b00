"""Encoder outputs of whole recordings, as the published training files keep them.

Online rows hold chunk features: the tower on 40 frames at a time, as it runs live. Published
offline rows hold window features: the tower on 200 frames at a time over the clip as it is, padded
to a frame only. Both take the maximum of the log-mel over the clip.
"""

from __future__ import annotations

import io
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from soundflow.atomic import atomic_write
from soundflow.audio.frontend import log_mel
from soundflow.errors import UserError
from soundflow.interop.training_rows import FEATURE_FILE, TrainingRow
from soundflow.model.interaction import AudioInteractionModel
from soundflow.protocol.front_end import FrontEnd
from soundflow.protocol.timebase import TimeBase

PUBLISHED_OFFLINE_S = 20.0  # longer offline recordings are cut by the published builder


@torch.inference_mode()
def chunk_features(
    model: AudioInteractionModel, samples: npt.ArrayLike, time: TimeBase, front_end: FrontEnd
) -> Tensor:
    """(n_slots, d) of a recording, every chunk alone; the last one is padded with zeros."""
    mel = torch.from_numpy(log_mel(samples, time, front_end)).to(model.device)
    return model.encode(mel).flatten(0, 1).cpu()


@torch.inference_mode()
def window_features(
    model: AudioInteractionModel,
    samples: npt.ArrayLike,
    time: TimeBase,
    front_end: FrontEnd,
    limit_s: float | None = PUBLISHED_OFFLINE_S,
) -> Tensor:
    """(n_slots, d) of a recording, in windows of twice the tower's ``n_window`` frames."""
    audio = np.asarray(samples, np.float32)
    if limit_s is not None:
        audio = audio[: time.samples(limit_s)]
    # One frame at a time: the only length that the clip is padded to.
    frame = replace(time, chunk_samples=time.hop_samples, slot_samples=time.hop_samples)
    mel = log_mel(audio, frame, replace(front_end, maximum="clip"))
    flat = torch.from_numpy(mel[:, :, 0].T.copy()).to(model.device)
    length = torch.tensor([flat.shape[1]], device=model.device)
    after_cnn, _ = model.encoder._get_feat_extract_output_lengths(length)
    out: Tensor = model.encoder(
        input_features=flat, feature_lens=length, aftercnn_lens=after_cnn
    ).last_hidden_state
    return out.cpu()


def read_features(row: TrainingRow, root: Path) -> Tensor | None:
    """(n_slots, d) of a row; None where it has no audio. ``root``: what its path is relative to.

    Raises:
        UserError: if the file is missing, holds anything but a tensor, or has another length.
    """
    if row.features_dir is None:
        return None
    file = root / row.features_dir / FEATURE_FILE
    try:
        features = torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise UserError(f"{file}: no such file", "encode the audio of this row again") from error
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError) as error:
        raise UserError(f"{file}: is not a saved tensor", "encode the audio again") from error
    if not isinstance(features, Tensor) or features.shape[:1] != (row.n_slots,):
        found = tuple(features.shape) if isinstance(features, Tensor) else type(features).__name__
        raise UserError(
            f"{file}: holds {found}, the row wants {row.n_slots} slots",
            "row and features belong to different recordings",
        )
    return features


def write_features(folder: Path, features: Tensor) -> None:
    """One plain tensor, which ``torch.load(..., weights_only=True)`` reads."""
    data = io.BytesIO()
    torch.save(features.contiguous().clone(), data)
    with atomic_write(folder / FEATURE_FILE) as file:
        file.write(data.getvalue())
