"""Which sounds are synthesised, and which noises lie under the streams."""

from __future__ import annotations

from pydantic import PositiveFloat
from pydantic.dataclasses import dataclass

from soundflow.config.settings import SETTINGS


@dataclass(frozen=True, config=SETTINGS)
class PoolsConfig:
    """Which sounds are synthesised, and which recordings serve as noise.

    Attributes:
        event_noise, ambient_noise: kinds of synthesised sound for the two noise tracks.
        noise_s: length of a noise take.
        noise_labels: labels of recordings that join the ambient noise.
        sounds: kinds of synthesised sound that join the recorded ones.
    """

    event_noise: tuple[str, ...] = ("typing", "clock_tick", "crackling_fire", "bird_chirp")
    ambient_noise: tuple[str, ...] = (
        "pink_noise", "brown_noise", "rain", "wind", "mains_hum", "traffic", "babble",
    )  # fmt: skip
    noise_s: PositiveFloat = 12.0
    noise_labels: tuple[str, ...] = ()
    sounds: tuple[str, ...] = ()
