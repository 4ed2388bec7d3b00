"""Words for sounds and numbers, as questions and answers need them."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from data_build.records import Clip
from data_build.scenes.ontology import ontology, spoken_name

_NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_SENTENCE = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])")


def phrase(phrases: Sequence[str], rng: np.random.Generator) -> str:
    """Any of ``phrases``."""
    return phrases[int(rng.integers(len(phrases)))]


def sound_name(clip: Clip) -> str:
    """The class of a clip in a word or two ("smoke detector"), or its own label."""
    for label in clip.labels:
        sound = ontology().find(label)
        if sound is not None:
            return spoken_name(sound.name)
    label = clip.labels[0] if clip.labels else clip.caption or "sound"
    return label.replace("_", " ").strip(" .").lower()


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
