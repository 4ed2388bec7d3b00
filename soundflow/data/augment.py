"""Small distortions of a stream; what happens in it, and when, stays as it is.

Those of the audio come before the front end and need the features computed anew each time; those
of the features come after it. Nothing changes speed or pitch: replies have their times.

Masks follow SpecAugment (Park et al., 2019, section 2). The gain is exact for the log-mel up to its
floor: ``g`` dB of level add ``g / 10`` to log10 power and ``g / 40`` after Whisper's scaling.
"""

from __future__ import annotations

from dataclasses import field
from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import NonNegativeFloat, NonNegativeInt
from pydantic.dataclasses import dataclass

from soundflow.config.settings import SETTINGS, Decibels, Fraction, Ordered, Spread

Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True, config=SETTINGS)
class AudioAugmentConfig:
    """Strengths before the front end; all zero switches it off.

    ``gain_db`` is the largest change of level; a louder stream stops short of full scale.
    ``noise`` is the share of the streams that get noise, at a signal-to-noise ratio from
    ``snr_db``: white, pink or brown, or between them.
    """

    gain_db: Spread = 0.0
    noise: Fraction = 0.0
    snr_db: Annotated[tuple[Decibels, Decibels], Ordered] = (10.0, 30.0)

    @property
    def active(self) -> bool:
        return bool(self.gain_db or self.noise)


@dataclass(frozen=True, config=SETTINGS)
class AugmentConfig:
    """Strengths; all zero switches augmentation off.

    ``audio`` comes before the front end, all else after it. ``gain_db`` is the largest change of
    level, ``tilt_db`` the largest spectral tilt (from the lowest to the highest bin), ``noise`` the
    largest standard deviation of white noise on the features, ``bands`` and ``gaps`` the masks a
    stream gets in frequency and in time.
    """

    gain_db: Spread = 0.0
    tilt_db: Spread = 0.0
    noise: NonNegativeFloat = 0.0
    bands: NonNegativeInt = 0
    band_bins: NonNegativeInt = 16
    gaps: NonNegativeInt = 0
    gap_frames: NonNegativeInt = 8
    audio: AudioAugmentConfig = field(default_factory=AudioAugmentConfig)

    @property
    def active(self) -> bool:
        return any((self.gain_db, self.tilt_db, self.noise, self.bands, self.gaps))


def augment_audio(audio: Float32, config: AudioAugmentConfig, rng: np.random.Generator) -> Float32:
    """A distorted copy of a stream, (n_samples,) float32 within [-1, 1]."""
    if not config.active or not len(audio):
        return audio
    out = audio.astype(np.float32)
    if rng.random() < config.noise:
        snr_db = rng.uniform(*config.snr_db)
        power = float(np.mean(np.square(out, dtype=np.float64)))
        out += np.float32(np.sqrt(power * 10 ** (-snr_db / 10))) * _coloured_noise(len(out), rng)
    gain = 10 ** (rng.uniform(-config.gain_db, config.gain_db) / 20)
    loudest = float(np.abs(out).max())
    return out * np.float32(min(gain, 1.0 / loudest) if loudest else 1.0)


def _coloured_noise(n: int, rng: np.random.Generator) -> Float32:
    """Noise of unit power whose spectrum falls as 1 / f to a power between 0 and 2."""
    spectrum = np.fft.rfft(rng.standard_normal(n))
    spectrum[0] = 0.0
    spectrum[1:] *= np.arange(1, len(spectrum)) ** (-0.5 * rng.uniform(0.0, 2.0))
    noise = np.fft.irfft(spectrum, n)
    return (noise / max(float(np.sqrt(np.mean(noise**2))), 1e-12)).astype(np.float32)


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
