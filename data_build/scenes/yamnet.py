"""What a clip sounds like to a tagging model: YAMNet as ONNX (Plakal & Ellis 2020), 521 classes.

Optional evidence for `data_build.scenes.verify`. The weights are the user's: any ONNX export that
takes patches (1, 1, 96, 64) and gives 521 logits, float or quantised to 8 bits, with the class map
that comes with YAMNet. Its class names are those of the ontology.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from data_build.scenes.measure import Float32
from soundflow.errors import UserError, not_installed

_WINDOW, _HOP, _FFT, _MELS = 400, 160, 512, 64
_PATCH, _PATCH_HOP = 96, 48
_LOG_OFFSET = 0.001


@dataclass(frozen=True)
class YamnetConfig:
    """Where the model is; scales and zero points as the 8-bit export states them, 0 for float."""

    model: str
    class_map: str
    input_scale: float = 0.0
    input_zero_point: int = 0
    output_scale: float = 0.0
    output_zero_point: int = 0


class YamnetTagger:
    """Scores a clip; opened on first use, once in every process."""

    def __init__(self, config: YamnetConfig) -> None:
        self._config = config

    def __reduce__(self) -> tuple[type[YamnetTagger], tuple[YamnetConfig]]:
        return type(self), (self._config,)

    def tags(self, samples: Float32) -> dict[str, float]:
        """The highest score of every class over the clip, in [0, 1].

        Args:
            samples: (n,) float32 at 16 kHz.

        Raises:
            UserError: if onnxruntime, the model or its class map cannot be had.
        """
        logits = np.stack([self._logits(patch) for patch in patches(samples)])
        scores = 1.0 / (1.0 + np.exp(-logits.max(axis=0).astype(np.float64)))
        return {name: float(score) for name, score in zip(self._names, scores, strict=True)}

    def _logits(self, patch: Float32) -> Float32:
        config = self._config
        fed: npt.NDArray[Any] = patch[None, None]
        if config.input_scale:
            steps = np.rint(fed / config.input_scale + config.input_zero_point)
            fed = np.clip(steps, 0, 255).astype(np.uint8)
        (raw,) = self._session.run(None, {self._session.get_inputs()[0].name: fed})
        logits: Float32 = np.asarray(raw, np.float32).reshape(-1)
        if config.output_scale:
            logits = (logits - config.output_zero_point) * np.float32(config.output_scale)
        return logits

    @cached_property
    def _session(self) -> Any:
        return onnx_session(self._config.model)

    @cached_property
    def _names(self) -> list[str]:
        path = Path(self._config.class_map)
        try:
            with path.open(encoding="utf-8", newline="") as lines:
                return [row["display_name"] for row in csv.DictReader(lines)]
        except (OSError, KeyError) as error:
            raise UserError(
                f"{path}: not a YAMNet class map ({error})", "it has a column display_name"
            ) from error


def onnx_session(path: str) -> Any:
    """An onnxruntime session on one thread: the same numbers on every machine of a kind.

    Raises:
        UserError: if onnxruntime is not installed or the model cannot be loaded.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise not_installed("onnxruntime", "curation") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises its own types, one for each way to fail
        raise UserError(
            f"{path}: the model cannot be loaded ({str(error)[:120]})", "check the path"
        ) from error


def patches(samples: Float32) -> Float32:
    """Log-mel patches of 0.96 s every 0.48 s, (n, 96, 64) float32; a short clip is padded."""
    if len(samples) < _WINDOW:
        samples = np.pad(samples, (0, _WINDOW - len(samples)))
    frames = np.lib.stride_tricks.sliding_window_view(samples, _WINDOW)[::_HOP]
    n = np.arange(_WINDOW)
    window = 0.5 - 0.5 * np.cos(2.0 * np.pi * n / _WINDOW)
    magnitude = np.abs(np.fft.rfft(frames * window, _FFT, axis=1))
    mel = np.log(magnitude @ _filters().T + _LOG_OFFSET).astype(np.float32)
    if len(mel) < _PATCH:
        mel = np.pad(mel, ((0, _PATCH - len(mel)), (0, 0)), constant_values=np.log(_LOG_OFFSET))
    starts = range(0, len(mel) - _PATCH + 1, _PATCH_HOP)
    return np.stack([mel[at : at + _PATCH] for at in starts])


def _filters() -> npt.NDArray[np.float64]:
    from librosa.filters import mel

    filters: npt.NDArray[np.float64] = mel(
        sr=16_000, n_fft=_FFT, n_mels=_MELS, fmin=125.0, fmax=7500.0, htk=True, norm=None
    )
    return filters
