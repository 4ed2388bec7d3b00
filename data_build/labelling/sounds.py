"""What a sound is: its names, its classes, and whether one sound is an instance of another."""

from __future__ import annotations

import re

from data_build.records import Clip
from data_build.scenes.ontology import ontology, spoken_name

_PLAIN = re.compile(r"[A-Za-z]+(?:[ _-][A-Za-z]+){0,3}")  # up to four words
# Noise that nobody would name: it may lie under a stream in which sounds are asked about.
_NAMELESS = ("Noise", "White noise", "Pink noise", "Acoustic environment", "Silence")
# Of these every onset is one sound: two barks are two. Of others (a clock, steps) it is not.
_ONE_BY_ONE = (
    "Bark", "Knock", "Cough", "Sneeze", "Gunshot, gunfire", "Church bell", "Hiccup", "Meow", "Moo",
    "Crowing, cock-a-doodle-doo", "Slam", "Clapping", "Gong", "Doorbell", "Whip",
)  # fmt: skip


def sound_name(clip: Clip) -> str:
    """What a clip's sound is called: its own label in plain words ("glass breaking").

    A label that names a known class in other than plain words ("Smoke detector, smoke alarm") is
    said as the first of them.
    """
    sound = _named(clip)
    if sound is None:
        label = clip.labels[0] if clip.labels else clip.caption or "sound"
        return _words_of(label).strip(" .")
    label, name = sound
    return _words_of(label) if _PLAIN.fullmatch(label) else spoken_name(name)


def sound_class(clip: Clip) -> str:
    """Equal for clips of one kind of sound, however their corpora name it."""
    sound = _named(clip)
    return sound[1] if sound else sound_name(clip)


def is_one(name: str, other: str) -> bool:
    """Whether a sound of class ``name`` is one of class ``other``: every bark is a dog's sound."""
    known = ontology()
    return name == other or (name in known.classes and other in known.classes[name].lineage)


def alike(name: str, other: str) -> bool:
    """Whether one of the two classes is the other, or a kind of it."""
    return is_one(name, other) or is_one(other, name)


def nameless(clip: Clip) -> bool:
    """Whether all that is known of a noise is that it is noise."""
    known = ontology()
    found = [known.find(label) for label in clip.labels]
    return bool(found) and all(s and not set(s.lineage).isdisjoint(_NAMELESS) for s in found)


def of_a_place(clip: Clip) -> bool:
    """Whether a noise is that of a place: a street, a hall."""
    known = ontology()
    found = (known.find(label) for label in clip.labels)
    return any(sound and "Acoustic environment" in sound.lineage for sound in found)


def how_many(clip: Clip, onsets: int | None) -> int | None:
    """How many sounds a clip is: one, or its onsets where each of them is one; None: unclear."""
    if onsets == 1:
        return 1
    return onsets if counted_one_by_one(clip) else None


def counted_one_by_one(clip: Clip) -> bool:
    """Whether every onset in a clip is a sound of its own."""
    return any(is_one(sound_class(clip), name) for name in _ONE_BY_ONE)


def described(clip: Clip) -> str:
    """A clip's caption as a sentence; where it has none, its name."""
    return as_sentence(clip.caption or sound_name(clip))


def as_sentence(text: str) -> str:
    """With a capital and an end."""
    text = text.strip()
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "!", "?", "。")) else f"{text}."


def _named(clip: Clip) -> tuple[str, str] | None:
    """The first label that names a class of the ontology, and that class."""
    for label in clip.labels:
        found = ontology().find(label)
        if found is not None:
            return label, found.name
    return None


def _words_of(label: str) -> str:
    return label.replace("_", " ").strip().lower()
