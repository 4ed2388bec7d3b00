"""Which voices speak, which noises lie under the streams."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PoolsConfig:
    """What made clips are made of, and which recordings serve as noise.

    Attributes:
        voices: base voices as ``engine:name``; every split bends them in ways of its own.
        warp, pitch, rate: ranges of the bending (formants, fundamental, pace).
        event_noise, ambient_noise: kinds of synthesised sound for the two noise tracks.
        noise_s: length of a noise take.
        noise_labels: labels of recordings that join the ambient noise.
        sounds: kinds of synthesised sound that join the recorded ones.
    """

    voices: tuple[str, ...] = ("pico:en-US", "pico:en-GB", "hibari:heart")
    language: str = "en"
    warp: tuple[float, float] = (0.88, 1.14)
    pitch: tuple[float, float] = (0.8, 1.25)
    rate: tuple[float, float] = (0.9, 1.15)
    event_noise: tuple[str, ...] = ("typing", "clock_tick", "crackling_fire", "bird_chirp")
    ambient_noise: tuple[str, ...] = (
        "pink_noise", "brown_noise", "rain", "wind", "mains_hum", "traffic", "babble",
    )  # fmt: skip
    noise_s: float = 12.0
    noise_labels: tuple[str, ...] = ()
    sounds: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.voices:
            raise ValueError("voices: at least one is needed")
        for voice in self.voices:
            if len(voice.split(":")) != 2:
                raise ValueError(f"voices: wants engine:name, got {voice!r}")
        for name in ("warp", "pitch", "rate"):
            low, high = getattr(self, name)
            if not 0 < low <= high:
                raise ValueError(f"{name} must be a positive range, got {(low, high)}")
        if self.noise_s <= 0:
            raise ValueError(f"noise_s must be positive, got {self.noise_s}")
