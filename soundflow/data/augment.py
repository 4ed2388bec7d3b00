"""Small distortions of the input features; replies and their times stay as they are.

Masks follow SpecAugment (Park et al., 2019, section 2). The gain is exact for the log-mel up to its
floor: ``g`` dB of level add ``g / 10`` to log10 power and ``g / 40`` after Whisper's scaling.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from pydantic import NonNegativeFloat, NonNegativeInt
from pydantic.dataclasses import dataclass

from soundflow.config.settings import SETTINGS, Spread

Float32 = npt.NDArray[np.float32]
AUGMENT = 1  # purpose key of the random stream


@dataclass(frozen=True, config=SETTINGS)
class AugmentConfig:
    """Strengths; all zero switches augmentation off.

    ``gain_db`` is the largest change of level, ``tilt_db`` the largest spectral tilt (from the
    lowest to the highest bin), ``noise`` the largest standard deviation of white noise on the
    features, ``bands`` and ``gaps`` the masks a stream gets in frequency and in time.
    """

    gain_db: Spread = 0.0
    tilt_db: Spread = 0.0
    noise: NonNegativeFloat = 0.0
    bands: NonNegativeInt = 0
    band_bins: NonNegativeInt = 16
    gaps: NonNegativeInt = 0
    gap_frames: NonNegativeInt = 8

    @property
    def active(self) -> bool:
        return any((self.gain_db, self.tilt_db, self.noise, self.bands, self.gaps))


def augment(mel: Float32, config: AugmentConfig, rng: np.random.Generator) -> Float32:
    """A distorted copy of a stream's chunks, (n, n_mels, frames) float32."""
    n, bins, frames = mel.shape
    if not config.active or not n:
        return mel
    gain = rng.uniform(-config.gain_db, config.gain_db)
    tilt = rng.uniform(-config.tilt_db, config.tilt_db) * np.linspace(-0.5, 0.5, bins)
    out = mel + ((gain + tilt) / 40.0).astype(np.float32)[:, None]
    if config.noise:
        deviation = rng.uniform(0.0, config.noise)
        out += np.float32(deviation) * rng.standard_normal(out.shape, np.float32)
    fill = np.float32(out.mean())
    for _ in range(config.bands):
        width = int(rng.integers(0, config.band_bins + 1))
        start = int(rng.integers(0, max(1, bins - width)))
        out[:, start : start + width] = fill
    for _ in range(config.gaps):
        width = int(rng.integers(0, config.gap_frames + 1))
        start = int(rng.integers(0, max(1, n * frames - width)))
        for at in range(start, start + width):
            out[at // frames, :, at % frames] = fill
    return out
