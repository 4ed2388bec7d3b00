"""What was heard, asked for in speech: openly, by choice, as a description, as a number."""

from __future__ import annotations

import numpy as np

from data_build.pools.pools import Library
from data_build.records import Clip, Item, PlannedReply
from data_build.tasks.config import AbilitiesConfig
from data_build.tasks.drawing import Planned, asked, draw, how_many, phrase, pick
from data_build.tasks.wording import as_sentence, described, number_word, sound_name

_OPEN = ("What was that sound?", "What did you just hear?", "Tell me what made that noise.")
_DESCRIBE = ("Describe every sound you hear.", "Tell me about the sounds around me.")
_LISTENING = PlannedReply("I am listening.")


def plan_open(library: Library, config: AbilitiesConfig, rng: np.random.Generator) -> Planned:
    """Sounds, then a question about the last one; the corpus' own question where it has one."""
    clips = _different(library, how_many(config.sounds.others, rng), rng)
    question, answers = question_about(clips[-1], rng)
    items = [Item(clip, sound_name(clip)) for clip in clips]
    reply = PlannedReply(answers[0], answers=answers[1:])
    return Planned((*items, asked(library, question, rng, reply)), {"asked": question}, whole=True)


def plan_choice(library: Library, config: AbilitiesConfig, rng: np.random.Generator) -> Planned:
    """One sound, then two to four names of which one is right."""
    names: list[str] = []
    heard, *_ = _different(library, 1, rng)
    right = sound_name(heard)
    for _ in range(how_many(config.sounds.others, rng)):
        other = _other(library, {right, *names}, rng)
        names.append(sound_name(other))
    names.insert(int(rng.integers(len(names) + 1)), right)
    question = f"Was it {', '.join(names[:-1])} or {names[-1]}?"
    reply = PlannedReply(as_sentence(right))
    items = (Item(heard, right), asked(library, question, rng, reply))
    return Planned(items, {"asked": question, "choices": names}, whole=True)


def plan_description(
    library: Library, config: AbilitiesConfig, rng: np.random.Generator
) -> Planned:
    """A request early on; after it every sound is described when it ends."""
    request = phrase(_DESCRIBE, rng)
    first = asked(library, request, rng, _LISTENING)
    clips = _different(library, how_many(config.sounds.others, rng), rng)
    items = [Item(c, sound_name(c), replies=(PlannedReply(described(c)),)) for c in clips]
    return Planned((first, *items), {"asked": request})


def plan_count(library: Library, config: AbilitiesConfig, rng: np.random.Generator) -> Planned:
    """A sound several times among others, then how often it came."""
    counted, *others = _different(library, 1 + how_many(config.sounds.others, rng), rng)
    times = how_many(config.sounds.counted, rng)
    items = [Item(counted, sound_name(counted))] * times
    for other in others:
        items.insert(int(rng.integers(len(items) + 1)), Item(other, sound_name(other)))
    question = f"How many times did you hear this: {sound_name(counted)}?"
    reply = PlannedReply(as_sentence(number_word(times)), answers=(str(times),))
    notes = {"asked": question, "times": times}
    return Planned((*items, asked(library, question, rng, reply)), notes, whole=True)


def question_about(clip: Clip, rng: np.random.Generator) -> tuple[str, tuple[str, ...]]:
    """A question about a clip and every answer that is right."""
    if clip.question is not None:
        return clip.question.text, clip.question.answers
    said = (described(clip), as_sentence(sound_name(clip)))
    return phrase(_OPEN, rng), tuple(dict.fromkeys(said))


def _different(library: Library, count: int, rng: np.random.Generator) -> list[Clip]:
    """Clips of different names."""
    clips = [draw(library.sounds, "sound", rng)]
    while len(clips) < count:
        clips.append(_other(library, {sound_name(clip) for clip in clips}, rng))
    return clips


def _other(library: Library, names: set[str], rng: np.random.Generator) -> Clip:
    return pick(library.sounds, lambda c: sound_name(c) not in names, "sound of another name", rng)
