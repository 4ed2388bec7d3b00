"""Clips whose every sample is known: voiced syllables, silences, noise floors."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]
RATE_HZ = 16_000


def voiced(seconds: float, seed: int = 0, dip_db: float = 20.0) -> Float32:
    """Speech without a pause: harmonics whose level falls by ``dip_db`` between syllables."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    f0 = rng.uniform(90, 220) * (1 + 0.05 * np.sin(2 * np.pi * rng.uniform(0.5, 2) * t))
    phase = 2 * np.pi * np.cumsum(f0) / RATE_HZ
    formant = rng.uniform(400, 900)
    tone = sum(
        np.exp(-(((k * 150 - formant) / 600) ** 2)) * np.sin(k * phase + rng.uniform(0, 6))
        for k in range(1, 16)
    )
    syllable = 0.5 - 0.5 * np.cos(2 * np.pi * rng.uniform(3, 6) * t + rng.uniform(0, 6))
    level = 10 ** (-dip_db / 20 * (1 - syllable))
    wave = np.asarray(tone) * level
    return (0.3 * wave / np.abs(wave).max()).astype(np.float32)


def noise(seconds: float, db: float, seed: int = 0) -> Float32:
    """White noise of ``db`` relative to full scale (RMS)."""
    n = round(seconds * RATE_HZ)
    return (np.random.default_rng(seed).standard_normal(n) * 10 ** (db / 20)).astype(np.float32)


def silence(seconds: float) -> Float32:
    return np.zeros(round(seconds * RATE_HZ), np.float32)


def rms_db(samples: Float32) -> float:
    return float(10 * np.log10(np.mean(np.square(samples, dtype=np.float64)) + 1e-20))
