"""What is said in one language appears in another: after a segment, or a few words behind it."""

from __future__ import annotations

import numpy as np

from data_build.pools.pools import Library
from data_build.records import Clip, Item, PlannedReply, Word
from data_build.speech.word_times import spoken_units
from data_build.tasks.config import AbilitiesConfig
from data_build.tasks.drawing import Planned, asked, draw, how_many, phrase, pick
from data_build.tasks.transcription import word_times

_REQUESTS = ("Please translate what you hear.", "Translate everything from now on, please.")
_AGREED = PlannedReply("I will translate.")


def plan_segments(library: Library, config: AbilitiesConfig, rng: np.random.Generator) -> Planned:
    """Every utterance is a segment; its translation is due at its end."""
    return Planned(tuple(_final(clip) for clip in _utterances(library, config, rng)))


def plan_wait_k(library: Library, config: AbilitiesConfig, rng: np.random.Generator) -> Planned:
    """Word t of the translation is due when word min(k + t - 1, n) of the source ends.

    The rest of a translation that is longer than its source comes at the end (Ma et al. 2019,
    STACL, the wait-k policy).
    """
    items, sources = [], set()
    for clip in _utterances(library, config, rng):
        words, by = word_times(clip)
        sources.add(by)
        items.append(Item(clip, "speech", replies=wait_k(clip, words, config.translation.wait_k)))
    notes = {"wait_k": config.translation.wait_k, "word_times": "+".join(sorted(sources))}
    return Planned(tuple(items), notes)


def plan_on_request(library: Library, config: AbilitiesConfig, rng: np.random.Generator) -> Planned:
    """Foreign speech means nothing to do until somebody asks for a translation."""
    clips = _utterances(library, config, rng)
    before = Item(_foreign(library, rng), "speech")
    if rng.random() < config.translation.uninstructed_share:
        return Planned((before, *(Item(clip, "speech") for clip in clips)), {"instructed": False})
    request = asked(library, phrase(_REQUESTS, rng), rng, _AGREED)
    items = (before, request, *(_final(clip) for clip in clips))
    return Planned(items, {"instructed": True})


def plan_conversation(
    library: Library, config: AbilitiesConfig, rng: np.random.Generator
) -> Planned:
    """Two languages in turn, each translated into that of the other side."""
    first = _foreign(library, rng)
    items = [_final(first)]
    sides = (_target(first), first.language)
    for number in range(max(1, how_many(config.translation.utterances, rng))):
        spoken, target = sides[number % 2], sides[(number + 1) % 2]

        def fits(clip: Clip, spoken: str = spoken, target: str = target) -> bool:
            return (clip.language, _target(clip)) == (spoken, target)

        clip = pick(library.translated, fits, f"speech from {spoken!r} to {target!r}", rng)
        items.append(_final(library.spoken(clip, rng)))
    return Planned(tuple(items), {"languages": list(sides)})


def wait_k(clip: Clip, words: tuple[Word, ...], k: int) -> tuple[PlannedReply, ...]:
    """The translation word by word, each with the time at which it is due."""
    targets = spoken_units(clip.translation, _target(clip))
    due = []
    for number, target in enumerate(targets):
        heard = min(k + number, len(words))
        due.append(PlannedReply(target, after_s=words[heard - 1].end_s))
    return tuple(due)


def _final(clip: Clip) -> Item:
    return Item(clip, "speech", replies=(PlannedReply(clip.translation),))


def _foreign(library: Library, rng: np.random.Generator) -> Clip:
    return library.spoken(draw(library.translated, "speech with a translation", rng), rng)


def _utterances(library: Library, config: AbilitiesConfig, rng: np.random.Generator) -> list[Clip]:
    return [_foreign(library, rng) for _ in range(how_many(config.translation.utterances, rng))]


def _target(clip: Clip) -> str:
    return clip.translation_language
