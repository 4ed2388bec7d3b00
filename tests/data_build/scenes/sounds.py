"""Signals with known faults."""

from __future__ import annotations

import numpy as np

from data_build.scenes.measure import Float32

RATE = 16_000


def barks(seconds: float = 2.0, seed: int = 0) -> Float32:
    """Tonal bursts with pauses over a very low floor."""
    rng = np.random.default_rng(seed)
    t = np.arange(int(seconds * RATE)) / RATE
    burst = np.maximum(np.sin(2 * np.pi * 2.0 * t), 0.0) ** 4
    tone = np.sin(2 * np.pi * 480 * t) + 0.5 * np.sin(2 * np.pi * 960 * t)
    return (0.3 * burst * tone + 1e-4 * rng.standard_normal(len(t))).astype(np.float32)


def with_noise(samples: Float32, snr_db: float, seed: int = 1) -> Float32:
    noise = np.random.default_rng(seed).standard_normal(len(samples))
    noise *= np.sqrt((samples.astype(float) ** 2).mean()) * 10 ** (-snr_db / 20)
    return (samples + noise).astype(np.float32)


def clipped(samples: Float32) -> Float32:
    return np.clip(samples * 8.0, -1.0, 1.0).astype(np.float32)


def with_gap(samples: Float32, seconds: float) -> Float32:
    half = len(samples) // 2
    return np.concatenate(
        [samples[:half], np.zeros(int(seconds * RATE), np.float32), samples[half:]]
    )
