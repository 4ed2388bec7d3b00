"""Levels, measured on the very samples that are mixed."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]

_BLOCK_SAMPLES = 160  # 10 ms
_GATE_DB = -42.0  # below the loudest block: not audible
SILENT_POWER = 1e-12


def _block_power(samples: Float32) -> npt.NDArray[np.float64]:
    """Mean power of every 10 ms; the last block may be shorter."""
    starts = np.arange(0, len(samples), _BLOCK_SAMPLES)
    sums = np.add.reduceat(samples.astype(np.float64) ** 2, starts)
    sizes = np.diff(np.append(starts, len(samples)))
    return np.asarray(sums / sizes)


def audible_span(samples: Float32) -> tuple[int, int]:
    """First and one past the last sample of what can be heard, on the 10 ms grid.

    Everything within 42 dB of the loudest 10 ms counts. A silent clip is all span.
    """
    power = _block_power(samples)
    loud = np.nonzero(power > max(power.max() * 10 ** (_GATE_DB / 10), SILENT_POWER))[0]
    if not len(loud):
        return 0, len(samples)
    return int(loud[0]) * _BLOCK_SAMPLES, min((int(loud[-1]) + 1) * _BLOCK_SAMPLES, len(samples))


def active_power(samples: Float32) -> float:
    """Mean power of the audible 10 ms blocks: the level of a sound, not of its pauses."""
    power = _block_power(samples)
    loud = power[power > max(power.max() * 10 ** (_GATE_DB / 10), SILENT_POWER)]
    return float(loud.mean()) if len(loud) else 0.0


def db(power: float) -> float:
    return float(10 * np.log10(max(power, SILENT_POWER)))


def gain_to(target_db: float, power: float) -> float:
    """Amplitude factor that brings ``power`` to ``target_db``; 0 for silence."""
    return 10 ** ((target_db - db(power)) / 20) if power > SILENT_POWER else 0.0
