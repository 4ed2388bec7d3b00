"""Measurements of a clip that need no knowledge of its content: floor, clipping, gaps, edges."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from data_build.tfjp.spans import runs
from soundflow.audio.level import block_power, db, without_dc
from soundflow.protocol.timebase import FRAME_SAMPLES, to_seconds

Float32 = npt.NDArray[np.float32]

_QUIET_DB = -120.0
_DIGITAL_SILENCE_DB = -110.0  # far below the last bit of 16-bit audio: zeros
# A frame this far under the clip's loud frames is a gap; above, it is part of the sound's decay.
GAP_BELOW_DB = 45.0
CLIPPED_LEVEL = 0.985


@dataclass(frozen=True)
class Measured:
    """Numbers about a clip.

    Attributes:
        duration_s: length of the whole clip.
        loud_dbfs: level of the loud frames (95th percentile of the 10 ms RMS).
        snr_db: loud frames over the floor (10th percentile of what is not digital silence), at
            most 60: where a sound never pauses, a lower bound of its SNR.
        floor_flatness: spectral flatness of the quietest tenth of the frames, 0 (tones) to 1 (white
            noise): distinguishes a noise floor from a sound that never pauses.
        clipped_share: share of samples in runs of three or more at full scale.
        longest_gap_s: longest inner stretch that is silent.
        cut_start, cut_end: whether the clip begins or ends in the middle of a loud sound.
    """

    duration_s: float
    loud_dbfs: float
    snr_db: float
    floor_flatness: float
    clipped_share: float
    longest_gap_s: float
    cut_start: bool
    cut_end: bool


def measure(samples: Float32) -> Measured:
    """Measures (n,) float32 samples at 16 kHz.

    Raises:
        ValueError: if a sample is not finite.
    """
    if not np.isfinite(samples).all():
        raise ValueError("the clip holds NaN or infinity")
    n_frames = len(samples) // FRAME_SAMPLES
    duration_s = to_seconds(len(samples))
    if n_frames == 0:
        return Measured(duration_s, _QUIET_DB, 0.0, 0.0, 0.0, 0.0, False, False)
    whole = samples[: n_frames * FRAME_SAMPLES]
    level_db = db(block_power(whole))
    loud_db = float(np.percentile(level_db, 95))
    audible = level_db > max(loud_db - GAP_BELOW_DB, _QUIET_DB + 1.0)
    first, last = _span(audible)
    gaps = [len(gap) for gap in runs(~audible[first:last])]
    # Digital silence around or inside a clip says nothing about the noise under the sound.
    live = level_db > _DIGITAL_SILENCE_DB
    floor_db = float(np.percentile(level_db[live], 10)) if live.any() else _QUIET_DB
    quiet = without_dc(whole).reshape(n_frames, FRAME_SAMPLES)[live & (level_db <= floor_db)]
    return Measured(
        duration_s=duration_s,
        loud_dbfs=round(loud_db, 2),
        snr_db=round(min(loud_db - floor_db, 60.0), 2),
        floor_flatness=round(_flatness(quiet), 3),
        clipped_share=round(_clipped_share(samples), 6),
        longest_gap_s=to_seconds(max(gaps, default=0) * FRAME_SAMPLES),
        cut_start=bool(level_db[0] > loud_db - 6.0),
        cut_end=bool(level_db[-1] > loud_db - 6.0),
    )


def _flatness(frames: npt.NDArray[np.float64]) -> float:
    """Geometric over arithmetic mean of the average power spectrum above 100 Hz."""
    if not len(frames):
        return 0.0
    spectrum = np.abs(np.fft.rfft(frames * np.hanning(frames.shape[1]), axis=1)) ** 2
    power = spectrum.mean(axis=0)[1:] + 1e-20
    return float(np.exp(np.log(power).mean()) / power.mean())


def _span(audible: npt.NDArray[np.bool_]) -> tuple[int, int]:
    (at,) = np.nonzero(audible)
    return (int(at[0]), int(at[-1]) + 1) if at.size else (0, 0)


def _clipped_share(samples: Float32) -> float:
    """Flat tops only: a single sample at full scale is a peak, three in a row were cut off."""
    if not len(samples):
        return 0.0
    peak = float(np.abs(samples).max())
    if peak < CLIPPED_LEVEL:
        return 0.0
    tops = (len(top) for top in runs(np.abs(samples) >= 0.999 * peak))
    return sum(top for top in tops if top >= 3) / len(samples)
