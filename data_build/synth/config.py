"""Which sounds are synthesised."""

from __future__ import annotations

from pydantic import PositiveFloat
from pydantic.dataclasses import dataclass

from soundflow.config.settings import SETTINGS


@dataclass(frozen=True, config=SETTINGS)
class SyntheticConfig:
    """Kinds of sound that are synthesised (`data_build.synth.kinds`); none by default.

    Attributes:
        sounds: join the sounds of the sources.
        event_noise, ambient_noise: join the recordings of the two noise tracks.
        noise_s: length of a noise, twice that of a texture among the sounds.
    """

    sounds: tuple[str, ...] = ()
    event_noise: tuple[str, ...] = ()
    ambient_noise: tuple[str, ...] = ()
    noise_s: PositiveFloat = 12.0
