"""Words for sounds and numbers, as questions and answers need them."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from data_build.records import Clip
from data_build.scenes.ontology import ontology, spoken_name

_NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_PLAIN = re.compile(r"[A-Za-z]+(?:[ _-][A-Za-z]+){0,3}")  # up to four words
_SENTENCE = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])")


def phrase(phrases: Sequence[str], rng: np.random.Generator) -> str:
    """Any of ``phrases``."""
    return phrases[int(rng.integers(len(phrases)))]


def sound_name(clip: Clip) -> str:
    """What a clip's sound is called: its own label in plain words ("glass breaking").

    A label that names a known class in other than plain words ("Smoke detector, smoke alarm") is
    said as the first of them.
    """
    sound = _known(clip)
    if sound is None:
        label = clip.labels[0] if clip.labels else clip.caption or "sound"
        return _words_of(label).strip(" .")
    label, name = sound
    return _words_of(label) if _PLAIN.fullmatch(label) else spoken_name(name)


def sound_class(clip: Clip) -> str:
    """Equal for clips of one kind of sound, however their corpora name it."""
    sound = _known(clip)
    return sound[1] if sound else sound_name(clip)


def _known(clip: Clip) -> tuple[str, str] | None:
    """The first label that names a class of the ontology, and that class."""
    for label in clip.labels:
        found = ontology().find(label)
        if found is not None:
            return label, found.name
    return None


def _words_of(label: str) -> str:
    return label.replace("_", " ").strip().lower()


def described(clip: Clip) -> str:
    """A clip's caption as a sentence; where it has none, its name."""
    return as_sentence(clip.caption or sound_name(clip))


def as_sentence(text: str) -> str:
    """With a capital and an end."""
    text = text.strip()
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "!", "?", "。")) else f"{text}."


def number_word(number: int) -> str:
    return _NUMBERS[number] if number < len(_NUMBERS) else str(number)


def shortened(text: str, max_words: int) -> str:
    """The leading sentences that fit ``max_words`` (at least a cut first one).

    Characters count as words where a text has no spaces.
    """
    kept = ""
    for sentence in _SENTENCE.split(text):
        longer = f"{kept} {sentence}".strip()
        if _words(longer) > max_words:
            break
        kept = longer
    if kept:
        return kept
    words = text.split()
    return " ".join(words[:max_words]) if len(words) > 1 else text[:max_words]


def _words(text: str) -> int:
    return max(len(text.split()), sum("\u4e00" <= c <= "\u9fff" for c in text))
