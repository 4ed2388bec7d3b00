"""Audio as clients send it; imports nothing of the model, so that load.py begins at once."""

from __future__ import annotations

import numpy as np

RATE_HZ = 16_000


def noise(seconds: float, rate_hz: int = RATE_HZ, seed: int = 0) -> bytes:
    """PCM16 whose level changes every 0.1 s."""
    rng = np.random.default_rng(seed)
    n = round(seconds * rate_hz)
    loud = np.repeat(rng.uniform(0.001, 0.3, n * 10 // rate_hz + 1), rate_hz // 10)[:n]
    samples = np.clip(rng.standard_normal(n) * loud, -1, 1)
    return (samples * 32767).astype("<i2").tobytes()


def packets(audio: bytes, size: int = 3200) -> list[bytes]:
    return [audio[at : at + size] for at in range(0, len(audio), size)]
