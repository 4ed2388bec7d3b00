"""Clips that do not exist yet: described now, spoken or synthesised when a stream needs them.

The description stands in ``Clip.extra["made"]``; `data_build.pools.prepare` carries it out.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from data_build.randomness import digest, generator
from data_build.records import AudioRef, Clip, ClipKind, Origin
from data_build.speech.voices import Voice, synthesise
from data_build.synth.kinds import sound_kind, take

MAKER_VERSION = 1  # raise when what a description makes changes
NOWHERE = AudioRef("")
_VOICE_LICENCE = "Apache-2.0"


def spoken_clip(text: str, voice: Voice, **extra: Any) -> Clip:
    """``text`` said by ``voice``."""
    made = {"say": text, "voice": asdict(voice), "version": MAKER_VERSION}
    return Clip(
        id=f"spoken/{digest(made)[:16]}",
        kind="speech",
        audio=NOWHERE,
        origin=Origin(f"voice engine {voice.engine}", _VOICE_LICENCE),
        text=text,
        language=voice.language,
        speaker=voice.id,
        extra={**extra, "made": made},
    )


def synthesised_clip(kind: str, *seed_parts: str | int, seconds: float | None = None) -> Clip:
    """A take of a kind of sound; ``seed_parts`` tell it from every other take.

    Raises:
        UserError: if there is no such kind.
    """
    about = sound_kind(kind)
    made = {
        "sound": kind, "seed": list(seed_parts), "seconds": seconds, "version": MAKER_VERSION,
    }  # fmt: skip
    role: ClipKind = "event" if about.role == "foreground" else "noise"
    return Clip(
        id=f"{kind}/{digest(made)[:16]}",
        kind=role,
        audio=NOWHERE,
        origin=Origin("synthesised sound", "Apache-2.0"),
        duration_s=seconds,
        labels=(about.label,),
        caption=about.caption,
        extra={"made": made},
    )


def make(made: dict[str, Any]) -> tuple[np.ndarray[Any, np.dtype[np.float32]], int | None]:
    """Carries out a description: (samples, t_ready in samples where the maker knows it).

    Raises:
        RenderingFailed: if a voice has no sound for its text.
        UserError: if an engine is not installed.
    """
    if "say" in made:
        return synthesise(made["say"], Voice(**made["voice"])), None
    sound = take(made["sound"], generator(*made["seed"]), made["seconds"])
    return sound.samples, sound.ready_samples
