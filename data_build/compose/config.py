"""Settings of composition; defaults are the published ones (method, section 2.4)."""

from __future__ import annotations

from dataclasses import field
from typing import Annotated

from annotated_types import Interval
from pydantic.dataclasses import dataclass

from soundflow.config.settings import (
    SETTINGS,
    Decibels,
    Few,
    FewOrNone,
    Fraction,
    Level,
    Ordered,
    Seconds,
    Spread,
)


@dataclass(frozen=True, config=SETTINGS)
class NoiseConfig:
    """The two noise tracks under every stream.

    Attributes:
        snr_db: range of the foreground-to-noise ratio (`data_build.compose.snr`), drawn for each
            track alone.
        ambient_offset_db: how much louder or quieter the ambient track is than its draw.
        crossfade_s: overlap where one noise clip follows another.
        share: share of the streams that have each track.
    """

    snr_db: Annotated[tuple[Decibels, Decibels], Ordered] = (5.0, 20.0)
    ambient_offset_db: Decibels = -5.0
    crossfade_s: Seconds = 0.25
    share: Fraction = 1.0


@dataclass(frozen=True, config=SETTINGS)
class ComposeConfig:
    """How a planned stream becomes one waveform.

    Attributes:
        gap_slots: range of the gap before every foreground item.
        tail_slots: range of the gap after the last one; the stream then runs to the chunk's end.
        max_chunks: longest stream, in chunks of any length: 60 are 24 s at 0.4 s, so a recipe with
            another ``stream.chunk_s`` sets it too. Items that end beyond are left out.
        junction_silence_s: silence of their own that two recordings may have where they meet (tau).
        fade_s: taper at both ends of every item (omega).
        level_db: range of the foreground's level, power of its audible part against full scale.
        spread_db: each foreground item deviates from that level by up to this much.
        reaction_s: time after the end of an event before its reply is due (published: 0).
        background_db, ambient_db: role gains against the foreground; an item that would hide speech
            at that gain is quieter (`data_build.compose.mix`).
        peak: the loudest sample allowed; a louder mix is scaled down as a whole, and counted.
    """

    gap_slots: Annotated[tuple[FewOrNone, FewOrNone], Ordered] = (20, 60)
    tail_slots: Annotated[tuple[FewOrNone, FewOrNone], Ordered] = (20, 60)
    max_chunks: Few = 60
    junction_silence_s: Seconds = 0.3
    fade_s: Seconds = 0.02
    level_db: Annotated[tuple[Level, Level], Ordered] = (-32.0, -20.0)
    spread_db: Spread = 2.0
    reaction_s: Seconds = 0.0
    background_db: Decibels = -6.0
    ambient_db: Decibels = -12.0
    peak: Annotated[float, Interval(gt=0, le=1)] = 0.98
    noise: NoiseConfig = field(default_factory=NoiseConfig)
