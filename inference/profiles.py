"""Profiles: how recordings are padded and positions computed, as in our code or the published one.

A profile is data, chosen when an engine is loaded and fixed from then on. Each setting is applied
in one place: padding and silence in `inference.feed`, the maximum of the log-mel in
`inference.sessions.audio_frontend`, the positions in `inference.passes.positions`.
"""

from __future__ import annotations

from typing import Literal

from pydantic import NonNegativeFloat
from pydantic.dataclasses import dataclass

from soundflow.config.settings import SETTINGS
from soundflow.interop.published import PUBLISHED_SILENCE_S
from soundflow.protocol.front_end import Maximum

Trailing = Literal["pad", "drop"]
Positions = Literal["exact", "half"]


@dataclass(frozen=True, config=SETTINGS)
class Profile:
    """The defaults are ours.

    Attributes:
        maximum: over what the maximum of the log-mel is taken; None as the model was trained.
            ``clip`` is that of each recording as a whole, which no live stream can know.
        trailing: whether the last, incomplete chunk of a recording is padded with zeros or dropped.
        positions: exact, or rounded to float16 as the published code has them.
        silence_s: silence after each recording, so that its last words can be answered. Streams of
            built data end in silence already and get none.
    """

    maximum: Maximum | None = None
    trailing: Trailing = "pad"
    positions: Positions = "exact"
    silence_s: NonNegativeFloat = PUBLISHED_SILENCE_S


OURS = Profile()
# The published quick start: a list of files. It pads each of them to a whole chunk, so that the
# rule of its decoder that drops an incomplete chunk finds none.
PUBLISHED = Profile(maximum="clip", positions="half")
# The published live server: it takes only whole chunks of what arrives, and its maximum is that of
# everything before.
PUBLISHED_LIVE = Profile(maximum="running", trailing="drop", positions="half", silence_s=0.0)

ProfileName = Literal["ours", "published", "published_live"]
PROFILES: dict[ProfileName, Profile] = {
    "ours": OURS,
    "published": PUBLISHED,
    "published_live": PUBLISHED_LIVE,
}


def profile_of(choice: ProfileName | Profile) -> Profile:
    """The profile, given by name or as settings."""
    return PROFILES[choice] if isinstance(choice, str) else choice
