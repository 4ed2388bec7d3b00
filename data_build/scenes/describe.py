"""The words of a planned scene: a description of every sound, one sentence for the whole."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from data_build.records import TrackRole
from data_build.scenes.ontology import SoundClass
from data_build.scenes.scene import SubEvent

# Singular and plural agree with all of them: they qualify the sound, they are no sentence.
_WHERE: dict[TrackRole, tuple[str, ...]] = {
    "foreground": ("close by", "right beside the listener", "clear and near", "a few steps away"),
    "background": ("in the distance", "faint and far off", "somewhere behind", "half masked"),
    "ambient": ("all around", "steady throughout", "as a constant bed", "never stopping"),
}
_TIMES: dict[str, tuple[str, ...]] = {
    "early morning": ("In the early morning", "Early morning, just after dawn,"),
    "morning": ("In the morning", "On a weekday morning"),
    "noon": ("At noon", "Around noon"),
    "afternoon": ("In the afternoon", "Late in the afternoon"),
    "evening": ("In the evening", "On a calm evening"),
    "night": ("At night", "Late at night"),
}


def spoken_name(sound: SoundClass) -> str:
    """The first of a class's names, in lower case, without what is in brackets."""
    return re.sub(r"\s*\(.*\)", "", sound.name).split(",")[0].strip().lower()


def describe(sound: SoundClass, role: TrackRole, caption: str, rng: np.random.Generator) -> str:
    """A brief description: the clip's own caption where it has one, and where the sound is."""
    where = _WHERE[role]
    what = caption.strip().rstrip(".") or spoken_name(sound)
    return f"{what}, {where[int(rng.integers(len(where)))]}"


def sentence(
    location: str, time_of_day: str, events: Sequence[SubEvent], rng: np.random.Generator
) -> str:
    """One sentence with place, time of day and the first few things that happen."""
    times = _TIMES[time_of_day]
    when = times[int(rng.integers(len(times)))].rstrip(",")
    bed = ", ".join(_noun(e) for e in events if e.role == "ambient")
    acts = [_noun(e) for e in events if e.role == "foreground"]
    told = acts[0] if len(acts) == 1 else f"{', then '.join(acts[:3])}"
    more = " and more" if len(acts) > 3 else ""
    return f"{when} {location}, over {bed}: {told}{more}."


def _noun(event: SubEvent) -> str:
    return re.sub(r"\s*\(.*\)", "", event.sound).split(",")[0].strip().lower()
