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

import numpy as np

from data_build.compose.snr import power_over_time
from soundflow.audio.level import Float32, db

HEARD_DB = 0.0  # the least level above the rest of a sound that is heard
# A cell of the sound counts within this of its loudest one: what makes it what it is, not a trace.
_OF_THE_SOUND_DB = -20.0
_HIGHEST_DB = 60.0  # in silence
_CELL_WINDOWS = 12  # 0.2 s


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
