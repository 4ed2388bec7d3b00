"""Speech becomes text while it is spoken: word by word, or at the end of every utterance."""

from __future__ import annotations

import numpy as np

from data_build.abilities.config import AbilitiesConfig
from data_build.abilities.scene import Planned, draw
from data_build.material.library import Library
from data_build.records import Clip, Item, PlannedReply, Word


def plan_words(library: Library, config: AbilitiesConfig, rng: np.random.Generator) -> Planned:
    """Every word is due when it ends; words that end in one chunk are one partial transcript.

    Where the source gives no word times they are spread evenly over the clip, and the notes say so.
    """
    items, guessed = [], 0
    for clip in _utterances(library, config, rng):
        words = clip.words or evenly_spread(clip)
        guessed += not clip.words
        replies = tuple(PlannedReply(w.text, after_s=w.end_s) for w in words)
        items.append(Item(clip, "speech", replies=replies))
    return Planned(tuple(items), {"word_times": "even" if guessed else "source"})


def plan_utterances(library: Library, config: AbilitiesConfig, rng: np.random.Generator) -> Planned:
    """The whole transcript is due at the end of the utterance."""
    return Planned(
        tuple(
            Item(clip, "speech", replies=(PlannedReply(clip.text),))
            for clip in _utterances(library, config, rng)
        )
    )


def evenly_spread(clip: Clip) -> tuple[Word, ...]:
    """Word times in proportion to the letters, where nothing better is known."""
    spelt = clip.text.split()
    total_s = clip.duration_s or 0.0
    letters = sum(map(len, spelt))
    words, at = [], 0
    for text in spelt:
        start, at = at, at + len(text)
        words.append(Word(text, total_s * start / letters, total_s * at / letters))
    return tuple(words)


def _utterances(library: Library, config: AbilitiesConfig, rng: np.random.Generator) -> list[Clip]:
    low, high = config.transcription.utterances
    return [draw(library.speech, "speech", rng) for _ in range(int(rng.integers(low, high + 1)))]
