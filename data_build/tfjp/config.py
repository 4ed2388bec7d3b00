"""Settings of TFJP; the defaults are the published ones where there are any."""

from __future__ import annotations

from typing import Annotated

from annotated_types import Interval, MultipleOf
from pydantic import NonNegativeFloat, PositiveInt
from pydantic.dataclasses import dataclass

from soundflow.config.settings import SETTINGS, Few, PositiveSeconds, Seconds, Spread
from soundflow.protocol.timebase import FRAME_SAMPLES


@dataclass(frozen=True, config=SETTINGS)
class TfjpConfig:
    """Settings of the six operators and of the loop around them.

    Published: ``silence_s`` (tau), ``gate_percentile``, ``noise_share``, ``gamma``,
    ``boundary_samples`` (delta, half of a chunk of 0.4 s), ``taper_s`` (omega) and ``max_passes``
    (K). Ours:

    Attributes:
        gate_margin_db: the percentile estimates the floor of the recording; the frames of a steady
            floor scatter around it by this much, and are silent all the same.
        silence_below_db: nothing is silent that is not this far below the loud frames (their 95th
            percentile), or else a percentile would find silence in a clip that has none.
        noise_below_db: the quietest frames are a noise floor only this far below the loud frames;
            otherwise they are the sound itself (rain, a hum), and are left alone.
        residual_db: what denoising leaves of a frequency bin at the least (Berouti et al. 1979).
        core_threshold: a frame counts for the core above this share of the best frame's score.
        window_s: longer clips are processed in windows of at most this length.
    """

    silence_s: PositiveSeconds = 0.3
    gate_percentile: Annotated[float, Interval(gt=0, lt=50)] = 10.0
    gate_margin_db: Spread = 6.0
    silence_below_db: Annotated[float, Interval(gt=0, le=200)] = 30.0
    noise_share: Annotated[float, Interval(gt=0, lt=1)] = 0.05
    noise_below_db: Spread = 15.0
    gamma: NonNegativeFloat = 1.0
    residual_db: Annotated[float, Interval(ge=-200, lt=0)] = -20.0
    core_threshold: Annotated[float, Interval(gt=0, lt=1)] = 0.25
    boundary_samples: Annotated[PositiveInt, MultipleOf(FRAME_SAMPLES)] = 3_200
    taper_s: Seconds = 0.02
    max_passes: Few = 3
    window_s: Annotated[float, Interval(ge=1, le=86_400)] = 60.0
