"""What listening to recordings is asked for. One YAML file, loaded strictly."""

from __future__ import annotations

from dataclasses import field
from pathlib import Path

from pydantic import PositiveFloat, PositiveInt
from pydantic.dataclasses import dataclass

from inference.profiles import PROFILES, Profile, ProfileName
from inference.session import SessionConfig
from soundflow.config.settings import SETTINGS
from soundflow.model.precision import Precision
from soundflow.protocol.timebase import SAMPLE_RATE_HZ


@dataclass(frozen=True, config=SETTINGS)
class InferRecipe:
    """Recordings through one live session.

    Attributes:
        checkpoint: a checkpoint folder.
        audio: recordings, in order: files, ``-`` (raw mono PCM16 on standard input), or
            ``FOLDER#ID`` for a stream of a split of built data, whose truth is then shown beside.
        profile: how recordings are heard: ours, or as the published code hears them; a name, or
            each choice on its own.
        pcm_rate_hz: the rate of standard input.
        packet_s: how much audio arrives at once.
        precision: of the weights; ``auto`` measures which is faster here.
        real_time: wait for the clock, as a microphone would; otherwise as fast as it goes.
    """

    checkpoint: Path
    audio: tuple[str, ...] = ()
    session: SessionConfig = field(default_factory=SessionConfig)
    profile: ProfileName | Profile = "ours"
    pcm_rate_hz: PositiveInt = SAMPLE_RATE_HZ
    packet_s: PositiveFloat = 0.1
    real_time: bool = False
    device: str = "cpu"
    precision: Precision = "auto"

    @property
    def heard_as(self) -> Profile:
        """The profile, whether it was named or spelt out."""
        return PROFILES[self.profile] if isinstance(self.profile, str) else self.profile
