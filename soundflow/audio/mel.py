"""The log-mel of one chunk: the unit of computation of the whole project (protocol section 2).

The same log-mel computed in blocks of other sizes differs in its last bits, because matrix
products round by shape. So 40 frames at a time is the only shape there is; a whole clip is what
`soundflow.audio.frontend` yields when it is fed once.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from soundflow.protocol.front_end import FrontEnd
from soundflow.protocol.timebase import TimeBase

Float32 = npt.NDArray[np.float32]

LOG_FLOOR = 1e-10
DYNAMIC_RANGE = 8.0


@lru_cache(maxsize=4)
def _window(window_samples: int) -> Float32:
    """Periodic Hann window."""
    n = np.arange(window_samples)
    return (0.5 - 0.5 * np.cos(2.0 * np.pi * n / window_samples)).astype(np.float32)


@lru_cache(maxsize=4)
def mel_filters(sample_rate_hz: int, front_end: FrontEnd) -> Float32:
    """Slaney mel filters, (n_mels, window // 2 + 1)."""
    from librosa.filters import mel as slaney_mel

    filters: Float32 = slaney_mel(
        sr=sample_rate_hz,
        n_fft=front_end.window_samples,
        n_mels=front_end.n_mels,
        fmax=front_end.f_max_hz,
    )
    return filters


@lru_cache(maxsize=4)
def _filter_bands(
    sample_rate_hz: int, front_end: FrontEnd
) -> tuple[Float32, npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The non-zero run of every filter, laid end to end: (weights, bins, starts).

    Summing only those runs is less work than the dense product and, unlike a BLAS call, gives the
    same bits with any number of threads.
    """
    filters = mel_filters(sample_rate_hz, front_end)
    runs = []
    for row in filters:
        (nonzero,) = np.nonzero(row)
        runs.append(np.arange(nonzero[0], nonzero[-1] + 1) if nonzero.size else np.array([0]))
    weights = np.concatenate([row[run] for row, run in zip(filters, runs, strict=True)])
    starts = np.cumsum([0] + [len(run) for run in runs[:-1]])
    return weights, np.concatenate(runs), starts


def log_mel_chunk(samples: Float32, time: TimeBase, front_end: FrontEnd) -> Float32:
    """log10 mel power of one chunk, before the maximum is applied.

    Args:
        samples: (chunk_samples + window_samples - hop_samples,) float32: the chunk with
            ``window / 2`` samples before it and ``window / 2 - hop`` after it.

    Returns:
        (n_mels, frames_per_chunk) float32.
    """
    window = front_end.window_samples
    frames = np.lib.stride_tricks.sliding_window_view(samples, window)[:: time.hop_samples]
    if len(frames) != time.frames_per_chunk:
        raise ValueError(f"a chunk has {time.frames_per_chunk} frames, got {len(frames)}")
    spectrum = np.fft.rfft(frames * _window(window), axis=1)
    power = (spectrum.real**2 + spectrum.imag**2).astype(np.float32)
    weights, bins, starts = _filter_bands(time.sample_rate_hz, front_end)
    mel = np.add.reduceat(power[:, bins] * weights, starts, axis=1)
    return np.log10(np.maximum(mel, np.float32(LOG_FLOOR))).T


def normalise(log_mel: Float32, maximum: np.float32) -> Float32:
    """Whisper's floor and scale: ``(max(x, M - 8) + 4) / 4``."""
    floored = np.maximum(log_mel, maximum - np.float32(DYNAMIC_RANGE))
    return ((floored + np.float32(4.0)) / np.float32(4.0)).astype(np.float32)
