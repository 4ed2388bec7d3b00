"""Whether a sound can be heard through all that sounds at the same time.

A sound is masked band by band and moment by moment: a tick is heard through a hum, a whistle
through a rumble, a bark in the gaps of a talk. So its level above the rest is taken where it stands
out most: of the cells a third of an octave wide (about a critical band of the ear) and a fifth of a
second long (about what the ear integrates over; Moore 2012, An Introduction to the Psychology of
Hearing, chapters 3 and 5).

Somewhere a sound has to be as loud as the rest: it raises the level there by 3 dB, of which 1 dB is
noticed (Zwicker & Fastl 2007, Psychoacoustics, chapter 7). The other 2 are for chance: of two
steady noises, the best of many short cells lies above the mean of all.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from data_build.compose.snr import HALF_WINDOW, power_over_time
from soundflow.audio.level import Float32, db

HEARD_DB = 0.0  # the least level above the rest of a sound that is heard
HEARD_RISE_DB = 3.0  # by so much it raises the level, at the same place
# A cell of the sound counts within this of its loudest one: what makes it what it is, not a trace.
_OF_THE_SOUND_DB = -20.0
_HIGHEST_DB = 60.0  # in silence
_CELL_WINDOWS, _CELL_SAMPLES = 12, 12 * HALF_WINDOW  # 0.2 s
_LEAST_OUTSIDE = 10  # cells


def above_rest_db(sound: Float32, rest: Float32) -> float | None:
    """How far a sound stands above all else, in dB, where it does so most; at most 60.

    Args:
        sound: (n,) the sound alone, at its level in the mix.
        rest: (n,) everything else, over the same time.

    Returns:
        None for digital silence.
    """
    own, other = (power_over_time(part, _CELL_WINDOWS) for part in (sound, rest))
    loudest = own.max(initial=0.0)
    if loudest <= 0.0:
        return None
    counts = own >= loudest * 10 ** (_OF_THE_SOUND_DB / 10)
    least = own * 10 ** (-_HIGHEST_DB / 10)
    ratio = own[counts] / np.maximum(other, least)[counts]
    return round(db(float(ratio.max())), 2)


def rises(audio: Float32, spans: Sequence[tuple[int, int]]) -> list[float | None]:
    """How far what happens in a recording rises above what goes on without it, in dB: the most that
    a cell within each span rises above 95 % of the cells, of the same band, outside all spans.

    It knows the mix alone, not its parts.

    Args:
        spans: first and one past the last sample of everything that happens.

    Returns:
        For each span; None where another one overlaps it, or hardly anything lies outside all.
    """
    cells = power_over_time(audio, _CELL_WINDOWS)
    # The half windows of a cell reach a little into the next one.
    within = [(first // _CELL_SAMPLES, -(-end // _CELL_SAMPLES)) for first, end in spans]
    busy = np.zeros(len(cells), np.int64)
    for first, end in within:
        busy[first:end] += 1
    outside = cells[busy == 0]
    if len(outside) < _LEAST_OUTSIDE:
        return [None] * len(spans)
    # Digital silence is as loud as what lies that far below the loudest cell.
    least = max(cells.max() * 10 ** (-_HIGHEST_DB / 10), np.finfo(np.float32).tiny)
    usual = np.maximum(np.percentile(outside, 95, axis=0), least)
    return [
        None if (busy[first:end] > 1).any() else db(float((cells[first:end] / usual).max()))
        for first, end in within
    ]
