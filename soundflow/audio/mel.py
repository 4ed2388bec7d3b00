"""The log-mel of chunks: the unit of computation of the whole project (protocol section 2).

Chunks of any streams are computed together, and nothing in it rounds by their number: each frame
has a transform of its own, and each mel value a sum of its own. A whole clip is what
`soundflow.audio.frontend` yields when it is fed once.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

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
def _sparse_filters(sample_rate_hz: int, front_end: FrontEnd) -> csr_array:
    """The same without its zeros, of which it nearly consists: a seventh of the work and, unlike a
    BLAS call, the same bits with any number of threads and of frames.
    """
    return csr_array(mel_filters(sample_rate_hz, front_end))


def log_mel_power(samples: Float32, time: TimeBase, front_end: FrontEnd) -> Float32:
    """log10 mel power of chunks of any streams, before the maximum is applied.

    Args:
        samples: (n, chunk_samples + window_samples - hop_samples) float32: each chunk with
            ``window / 2`` samples before it and ``window / 2 - hop`` after it.

    Returns:
        (n, n_mels, frames_per_chunk) float32; each chunk the same as alone, bit for bit.
    """
    window, n_frames = front_end.window_samples, time.frames_per_chunk
    frames = np.lib.stride_tricks.sliding_window_view(samples, window, 1)[:, :: time.hop_samples]
    if frames.shape[1] != n_frames:
        raise ValueError(f"a chunk has {n_frames} frames, got {frames.shape[1]}")
    spectrum = np.fft.rfft(frames * _window(window))
    power = (spectrum.real**2 + spectrum.imag**2).reshape(len(samples) * n_frames, -1)
    # Frames side by side, so that a weight is multiplied with all of them at once.
    mel = _sparse_filters(time.sample_rate_hz, front_end) @ np.ascontiguousarray(power.T)
    log_mel: Float32 = np.log10(np.maximum(mel, np.float32(LOG_FLOOR)))
    return log_mel.reshape(front_end.n_mels, len(samples), n_frames).transpose(1, 0, 2)


def normalise(log_mel: Float32, maxima: Float32) -> Float32:
    """Whisper's floor and scale, ``(max(x, M - 8) + 4) / 4``, with an M for each chunk.

    Args:
        log_mel: (n, n_mels, frames) float32.
        maxima: (n,) float32.
    """
    floored: Float32 = np.maximum(log_mel, maxima[:, None, None] - np.float32(DYNAMIC_RANGE))
    return (floored + np.float32(4.0)) / np.float32(4.0)
