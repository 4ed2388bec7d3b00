"""Settings of TFJP; the defaults are the published ones where there are any."""

from __future__ import annotations

from dataclasses import dataclass

from soundflow.protocol.timebase import FRAME_SAMPLES


@dataclass(frozen=True)
class TfjpConfig:
    """Settings of the six operators and of the loop around them.

    Published: ``silence_s`` (tau), ``gate_percentile``, ``noise_share``, ``gamma``,
    ``boundary_samples`` (delta, half a chunk), ``taper_s`` (omega) and ``max_passes`` (K). Ours:

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

    silence_s: float = 0.3
    gate_percentile: float = 10.0
    gate_margin_db: float = 6.0
    silence_below_db: float = 30.0
    noise_share: float = 0.05
    noise_below_db: float = 15.0
    gamma: float = 1.0
    residual_db: float = -20.0
    core_threshold: float = 0.25
    boundary_samples: int = 3_200
    taper_s: float = 0.02
    max_passes: int = 3
    window_s: float = 60.0

    def __post_init__(self) -> None:
        _require(self.silence_s > 0, "silence_s", self.silence_s, "above 0 s")
        _require(0 < self.gate_percentile < 50, "gate_percentile", self.gate_percentile, "0-50")
        _require(self.gate_margin_db >= 0, "gate_margin_db", self.gate_margin_db, "0 dB or more")
        _require(self.silence_below_db > 0, "silence_below_db", self.silence_below_db, "above 0 dB")
        _require(0 < self.noise_share < 1, "noise_share", self.noise_share, "between 0 and 1")
        _require(self.noise_below_db >= 0, "noise_below_db", self.noise_below_db, "0 dB or more")
        _require(self.gamma >= 0, "gamma", self.gamma, "0 (no denoising) or more")
        _require(self.residual_db < 0, "residual_db", self.residual_db, "below 0 dB")
        _require(0 < self.core_threshold < 1, "core_threshold", self.core_threshold, "0-1")
        _require(
            self.boundary_samples > 0 and self.boundary_samples % FRAME_SAMPLES == 0,
            "boundary_samples", self.boundary_samples, "a positive multiple of a 10 ms frame",
        )  # fmt: skip
        _require(self.taper_s >= 0, "taper_s", self.taper_s, "0 s (no taper) or more")
        _require(self.max_passes >= 1, "max_passes", self.max_passes, "1 or more")
        _require(self.window_s >= 1, "window_s", self.window_s, "1 s or more")


def _require(condition: bool, field: str, value: float, wanted: str) -> None:
    if not condition:
        raise ValueError(f"{field} must be {wanted}, got {value}")
