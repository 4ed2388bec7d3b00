"""The short-time level of a recording: its loudness, its audible part, and whether it is silent.

::

    samples ─▶ without DC ─▶ mean power of every 10 ms ─▶ audible: within 42 dB of the loudest,
                                                                   and above the silence floor

The floor lies between the level of an empty 16-bit recording and the quietest speech. Measured as
the
level of the loudest 10 ms: nothing within +-1 LSB exceeds -90.3 dBFS, and noise of +-1 LSB decoded
from MP3, AAC, Opus or ADPCM has -92 to -91; of 150 recordings of speech whose *peak* is at -80 dBFS
the lowest has -89.8, half of them are above -86.
"""

from __future__ import annotations

from typing import overload

import numpy as np
import numpy.typing as npt

from soundflow.protocol.timebase import FRAME_SAMPLES

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]

SILENT_DB = -90.0
AUDIBLE_DB = -42.0  # below the loudest block
_SILENT_POWER = 10 ** (SILENT_DB / 10)
_LEAST_POWER = 1e-12  # what decibels of zero are taken of


def without_dc(samples: Float32) -> Float64:
    """The samples less their offset. (A high pass would smear the edges of a sound by some 10 ms.)

    The offset is the mean of the tenth of the 10 ms in which least happens. That of a whole clip
    would hold the lopsided swings of a short sound as well, and be heard in its silences.
    """
    exact = samples.astype(np.float64)
    blocks = exact[: len(exact) // FRAME_SAMPLES * FRAME_SAMPLES].reshape(-1, FRAME_SAMPLES)
    if not len(blocks):
        return exact - exact.mean() if len(exact) else exact
    happens = blocks.var(axis=1)
    tenth = len(blocks) // 10
    return np.asarray(exact - blocks[happens <= np.partition(happens, tenth)[tenth]].mean())


def block_power(samples: Float32, block_samples: int = FRAME_SAMPLES) -> Float64:
    """Mean power of every block without its DC, (ceil(n / block),); the last may be shorter."""
    starts = np.arange(0, len(samples), block_samples)
    if not len(starts):
        return np.zeros(0)
    sums = np.add.reduceat(np.square(without_dc(samples)), starts)
    return np.asarray(sums / np.diff(np.append(starts, len(samples))))


def is_silent(samples: Float32) -> bool:
    """Whether no 10 ms of a recording exceed `SILENT_DB`: nothing, DC, dither, codec residue."""
    return bool(block_power(samples).max(initial=0.0) <= _SILENT_POWER)


def audible_span(samples: Float32) -> tuple[int, int]:
    """First and one past the last audible sample, on the 10 ms grid.

    For a silent clip, the span is the whole clip.
    """
    (loud,) = np.nonzero(audible_blocks(samples))
    if not len(loud):
        return 0, len(samples)
    return int(loud[0]) * FRAME_SAMPLES, min((int(loud[-1]) + 1) * FRAME_SAMPLES, len(samples))


def audible_blocks(samples: Float32) -> npt.NDArray[np.bool_]:
    """Whether each 10 ms of a recording can be heard, (ceil(n / 160),)."""
    return _audible(block_power(samples))


def active_power(samples: Float32) -> float:
    """Mean power of the audible 10 ms: the level of a sound, not of its pauses. 0 for silence."""
    power = block_power(samples)
    loud = power[_audible(power)]
    return float(loud.mean()) if len(loud) else 0.0


@overload
def db(power: float) -> float: ...
@overload
def db(power: Float64) -> Float64: ...
def db(power: float | Float64) -> float | Float64:
    """Decibels re full scale of a mean power; -120 and below are all -120."""
    level = 10.0 * np.log10(np.maximum(power, _LEAST_POWER))
    return level if isinstance(power, np.ndarray) else float(level)


def gain_to(target_db: float, power: float) -> float:
    """Amplitude factor that brings an `active_power` to ``target_db``; 0 for silence."""
    return 10 ** ((target_db - db(power)) / 20) if power > 0.0 else 0.0


def _audible(power: Float64) -> npt.NDArray[np.bool_]:
    loudest = power.max(initial=0.0)
    audible: npt.NDArray[np.bool_] = power > max(loudest * 10 ** (AUDIBLE_DB / 10), _SILENT_POWER)
    return audible
