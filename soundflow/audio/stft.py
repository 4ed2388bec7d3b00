"""A short-time Fourier transform whose frames can be cut out and rejoined.

Frame ``i`` represents the ``hop`` samples ``[hop * i, hop * (i + 1))``: its window is centred on
their middle, so a clip of n frames is a clip of n hops, and leaving a frame out shortens the audio
by exactly one hop while the overlapping windows cross-fade the joint::

    samples   |--hop 0--|--hop 1--|--hop 2--|--hop 3--|
    frame 1      (======== window ========)
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy import fft

Float32 = npt.NDArray[np.float32]
Complex64 = npt.NDArray[np.complex64]


def stft(samples: Float32, window_samples: int, hop_samples: int) -> Complex64:
    """Hann-windowed spectra, zeros beyond both ends.

    Args:
        samples: (n,) float32.

    Returns:
        (ceil(n / hop), window // 2 + 1) complex64.

    Raises:
        ValueError: if the audio is empty or not one-dimensional, or the windows leave gaps.
    """
    if samples.ndim != 1 or not len(samples):
        raise ValueError(f"a clip must be mono and not empty, got shape {samples.shape}")
    lead = _lead(window_samples, hop_samples)
    n_frames = -(-len(samples) // hop_samples)
    padded = np.zeros((n_frames - 1) * hop_samples + window_samples, np.float32)
    padded[lead : lead + len(samples)] = samples
    frames = np.lib.stride_tricks.sliding_window_view(padded, window_samples)[::hop_samples]
    spectra: Complex64 = fft.rfft(frames * _hann(window_samples), axis=1)
    return spectra


def istft(spectra: Complex64, window_samples: int, hop_samples: int) -> Float32:
    """Weighted overlap-add (Griffin and Lim 1984, eq. 6): the least-squares inverse of `stft`.

    Returns:
        (n_frames * hop,) float32. Unchanged spectra give the samples back within 1e-6.
    """
    lead = _lead(window_samples, hop_samples)
    n_frames = len(spectra)
    frames: Float32 = fft.irfft(spectra, window_samples, axis=1)
    frames *= _hann(window_samples)
    audio = _overlap_add(frames, hop_samples)
    audio /= _overlap_weight(n_frames, window_samples, hop_samples)
    return audio[lead : lead + n_frames * hop_samples]


def _lead(window_samples: int, hop_samples: int) -> int:
    """Samples by which a window begins before the hop that it represents."""
    if (window_samples - hop_samples) % 2 or not 0 < hop_samples <= window_samples // 2:
        raise ValueError(
            f"the hop must be at most half the window and of the same parity, got hop "
            f"{hop_samples} and window {window_samples}"
        )
    return (window_samples - hop_samples) // 2


@lru_cache(maxsize=4)
def _hann(window_samples: int) -> Float32:
    """Periodic Hann window."""
    n = np.arange(window_samples)
    return (0.5 - 0.5 * np.cos(2.0 * np.pi * n / window_samples)).astype(np.float32)


def _overlap_add(frames: Float32, hop_samples: int) -> Float32:
    """Sums windows laid a hop apart, hop-wide column by column: (n, w) -> ((n-1) hop + w,)."""
    n_frames, window_samples = frames.shape
    columns = -(-window_samples // hop_samples)
    audio = np.zeros((n_frames + columns - 1, hop_samples), np.float32)
    for column in range(columns):
        part = frames[:, column * hop_samples : (column + 1) * hop_samples]
        audio[column : column + n_frames, : part.shape[1]] += part
    return audio.reshape(-1)[: (n_frames - 1) * hop_samples + window_samples]


def _overlap_weight(n_frames: int, window_samples: int, hop_samples: int) -> Float32:
    """Sum of the squared windows; the same in every hop but the outermost ones."""
    columns = -(-window_samples // hop_samples)
    if n_frames <= 2 * columns:
        return _edge_weight(n_frames, window_samples, hop_samples)
    edges = _edge_weight(2 * columns, window_samples, hop_samples)
    split = columns * hop_samples
    inner = edges[split - hop_samples : split]
    middle = np.tile(inner, n_frames - 2 * columns)
    return np.concatenate((edges[:split], middle, edges[split:]))


@lru_cache(maxsize=64)
def _edge_weight(n_frames: int, window_samples: int, hop_samples: int) -> Float32:
    squared = np.broadcast_to(_hann(window_samples) ** 2, (n_frames, window_samples))
    # The outermost samples lie outside every hop and are cut off; 1e-8 keeps them finite.
    return np.maximum(_overlap_add(squared, hop_samples), np.float32(1e-8))
