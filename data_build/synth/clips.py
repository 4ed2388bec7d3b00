"""Sounds that do not exist yet: described now, synthesised when a stream needs them.

`Clip.audio` describes them; `data_build.pools.prepare` makes them.
"""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import numpy.typing as npt

from data_build.randomness import digest, generator
from data_build.records import (
    Clip,
    ClipKind,
    Origin,
    SyntheticSound,
)
from data_build.synth.kinds import sound_kind, take

SYNTH_VERSION = 1  # raise when the same description is synthesised differently


def synthesised_clip(kind: str, *seed: str | int, seconds: float | None = None) -> Clip:
    """A take of a kind of sound; ``seed`` tells it from every other take.

    Raises:
        UserError: if there is no such kind.
    """
    about = sound_kind(kind)
    audio = SyntheticSound(kind, seed, seconds)
    role: ClipKind = "event" if about.role == "foreground" else "noise"
    return Clip(
        id=f"{kind}/{digest(asdict(audio), SYNTH_VERSION)[:16]}",
        kind=role,
        audio=audio,
        origin=Origin("synthesised sound", "Apache-2.0"),
        duration_s=seconds,
        labels=(about.label,),
        caption=about.caption,
    )


def make(audio: SyntheticSound) -> tuple[npt.NDArray[np.float32], int | None]:
    """Synthesises a take: (samples, t_ready in samples where the synthesis knows it)."""
    sound = take(audio.kind, generator(*audio.seed), audio.seconds)
    return sound.samples, sound.ready_samples
