"""The numbers of composition; defaults are the published ones (method, section 2.4)."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class NoiseConfig:
    """The two noise tracks under every stream.

    Attributes:
        snr_db: range of the foreground-to-noise ratio, drawn for each track alone.
        ambient_offset_db: how much louder or quieter the ambient track is than its draw.
        crossfade_s: overlap where one noise clip follows another.
        share: share of the streams that have each track.
    """

    snr_db: tuple[float, float] = (5.0, 20.0)
    ambient_offset_db: float = -5.0
    crossfade_s: float = 0.25
    share: float = 1.0

    def __post_init__(self) -> None:
        if self.snr_db[0] > self.snr_db[1]:
            raise ValueError(f"snr_db must be a range, got {self.snr_db}")
        if self.crossfade_s < 0:
            raise ValueError(f"crossfade_s must not be negative, got {self.crossfade_s}")
        if not 0 <= self.share <= 1:
            raise ValueError(f"share must lie in [0, 1], got {self.share}")


@dataclass(frozen=True)
class ComposeConfig:
    """How a planned stream becomes one waveform.

    Attributes:
        gap_slots: range of the gap before every foreground item.
        tail_slots: range of the gap after the last one; the stream then runs to the chunk's end.
        max_chunks: longest stream, in chunks whatever their length: 60 are 24 s of 0.4 s, so a
            recipe with another ``stream.chunk_s`` sets it too. Items that end beyond are left out.
        junction_silence_s: silence of their own that two recordings may have where they meet (tau).
        fade_s: taper at both ends of every item (omega).
        level_db: range of the foreground's level, power of its audible part against full scale.
        spread_db: each foreground item deviates from that level by up to this much.
        reaction_s: what is heard beyond the end of an event before its reply is due (published: 0).
        background_db, ambient_db: role gains against the foreground.
        peak: the loudest sample allowed; a louder mix is scaled down as a whole, and counted.
    """

    gap_slots: tuple[int, int] = (20, 60)
    tail_slots: tuple[int, int] = (20, 60)
    max_chunks: int = 60
    junction_silence_s: float = 0.3
    fade_s: float = 0.02
    level_db: tuple[float, float] = (-32.0, -20.0)
    spread_db: float = 2.0
    reaction_s: float = 0.0
    background_db: float = -6.0
    ambient_db: float = -12.0
    peak: float = 0.98
    noise: NoiseConfig = field(default_factory=NoiseConfig)

    def __post_init__(self) -> None:
        for name in ("gap_slots", "tail_slots"):
            low, high = getattr(self, name)
            if not 0 <= low <= high:
                raise ValueError(f"{name} must be a range from 0 up, got {(low, high)}")
        if self.level_db[0] > self.level_db[1] or self.level_db[1] > 0:
            raise ValueError(f"level_db must be a range below 0, got {self.level_db}")
        if self.max_chunks < 1:
            raise ValueError(f"max_chunks must be at least 1, got {self.max_chunks}")
        if not 0 < self.peak <= 1:
            raise ValueError(f"peak must lie in (0, 1], got {self.peak}")
        if min(self.fade_s, self.spread_db, self.reaction_s) < 0:
            raise ValueError(f"fade_s, spread_db, reaction_s must not be negative, got {self}")
