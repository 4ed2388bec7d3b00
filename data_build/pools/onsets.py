"""Where the sound of a clip begins, how many it holds, and whether it rises or fades."""

from __future__ import annotations

import numpy as np

from data_build.records import Trend
from soundflow.audio.level import Float32, active_power, audible_span, block_power, db
from soundflow.protocol.timebase import FRAME_SAMPLES, to_samples

# Two readings of the same clip, the strict and the lenient one: frames count as sound down to so
# many dB below the loudest, and pauses of so many frames separate sounds.
_READINGS = ((-18.0, 30), (-30.0, 15))
_SMOOTH_FRAMES = 3
_FLOOR = 1e-10
_CLEARLY_DB = 9.0  # between the first and the last third; a smaller change is not heard as one
_TREND_SAMPLES = to_samples(1.5)  # in less time a sound only begins and ends


def count_onsets(samples: Float32) -> int | None:
    """The number of separate sounds in (n,) samples, or None where two readings disagree."""
    n = len(samples) // FRAME_SAMPLES
    if n < _SMOOTH_FRAMES:
        return 1
    frames = samples[: n * FRAME_SAMPLES].reshape(n, FRAME_SAMPLES).astype(np.float64)
    power = np.convolve(np.square(frames).mean(1), np.full(_SMOOTH_FRAMES, 1 / _SMOOTH_FRAMES))
    level_db = 10 * np.log10(power + _FLOOR)
    level_db -= level_db.max()
    counts = {_runs(level_db > down_db, pause) for down_db, pause in _READINGS}
    return counts.pop() if len(counts) == 1 else None


def onset_samples(samples: Float32) -> int:
    """The sample at which the level first comes within 30 dB of the loudest, on the 10 ms grid.

    What is softer (a room, a rustle, a far fade-in) tells nobody what sounds. 0 if all is silent.
    """
    power = block_power(samples)
    (loud,) = np.nonzero(power > power.max(initial=0.0) * 10 ** (_READINGS[1][0] / 10))
    return int(loud[0]) * FRAME_SAMPLES if len(loud) else 0


def trend(samples: Float32) -> Trend | None:
    """Whether the level of (n,) samples clearly rises or falls, from one third to the next."""
    on, end = audible_span(samples)
    third = (end - on) // 3
    if end - on < _TREND_SAMPLES:
        return None
    first, middle, last = (db(active_power(samples[on + i * third :][:third])) for i in range(3))
    if first + _CLEARLY_DB <= last and first < middle < last:
        return "rising"
    return "fading" if last + _CLEARLY_DB <= first and first > middle > last else None


def _runs(loud: np.ndarray, pause_frames: int) -> int:
    """Runs of loud frames that are at least a pause apart."""
    at = np.flatnonzero(loud)
    return 1 + int((np.diff(at) > pause_frames).sum())
