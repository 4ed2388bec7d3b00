"""How long streams are expected to be, from the settings of a recipe and the texts of its material.

An estimate for the plan of `soundflow check` and for the first shards of a split of hours; what
counts is measured on the shards that are finished.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Literal

from data_build.recipe import BuildRecipe
from data_build.records import Clip, Dialogue, SyntheticSound
from data_build.tasks.config import TasksConfig
from data_build.tasks.table import FORMS, is_conversation, needs_of
from soundflow.protocol.timebase import SLOT_SAMPLES, to_seconds

# What follows each other in a stream: turns of any dialogues, questions (dialogues of one turn),
# speech to be transcribed or translated, sounds, those of a scene, cues, those that are counted,
# and what else the user says: instructions ("told"), and remarks and questions.
Kind = Literal[
    "turn", "question", "speech", "translated", "sound", "placed", "cue", "counted", "told", "said"
]
# Usual lengths in seconds, where the material does not tell them.
USUAL_S: Mapping[Kind, float] = {
    "turn": 2.2, "question": 2.2, "speech": 2.2, "translated": 2.2, "sound": 2.0, "placed": 2.0,
    "cue": 1.2, "counted": 0.8, "told": 4.2, "said": 2.2,
}  # fmt: skip
# Tables whose items follow each other -> what they are.
_KINDS: Mapping[str, Kind] = {
    "speech": "speech", "translated": "translated", "sounds": "sound",
}  # fmt: skip
# FLAC, tokens and records: 47e6 where all is synthesised, 65e6 over noisy recordings.
BYTES_PER_HOUR = 55e6
# Of the speech of our voices: 0.15 s, and so much for each letter.
_AROUND_S, _LETTER_S, _HAN_S = 0.15, 0.056, 0.22
_SYNTHETIC_S, _SYNTHETIC_CUE_S = 1.8, 1.0  # synthesised sounds of a length of their own
_IN_FRONT = 2.5  # sounds of a scene that follow each other
_SUITS_TALK = 0.75  # share of the scenes that suit a conversation
_SPREAD = (0.6, 1.0, 1.4)  # of the length of streams: the longest ones are cut


def expected_stream_s(
    recipe: BuildRecipe, split: str, lengths_s: Mapping[Kind, float] = USUAL_S
) -> float:
    """Mean length of the streams of a split, in seconds.

    Args:
        lengths_s: mean length of the items of each kind.
    """
    weights = recipe.splits[split].weights
    total = sum(weights.values())
    config = recipe.splits[split]
    scenes = "scenes" in needs_of(config.tasks, config.offline)
    share = recipe.tasks.places.share if scenes else 0.0
    mean_s = sum(_length_s(recipe, t, share, lengths_s) * w for t, w in weights.items()) / total
    return max(mean_s, recipe.stream.chunk_s)


def expected_streams(
    recipe: BuildRecipe, split: str, lengths_s: Mapping[Kind, float] = USUAL_S
) -> int:
    """How many streams a split will have: as stated, or about as many as its hours hold."""
    config = recipe.splits[split]
    if config.streams is not None:
        return config.streams
    assert config.hours is not None  # `SplitConfig` sees to it
    return math.ceil(config.hours * 3600 / expected_stream_s(recipe, split, lengths_s))


def lengths_of(
    table: str, item: Clip | Dialogue, is_cue: bool = False
) -> Iterator[tuple[Kind, float]]:
    """What an item of a table is in a stream, and its length in seconds, where both are known."""
    if isinstance(item, Dialogue):
        for turn in item.turns:
            yield "turn", _spoken_s(turn.user)
        if len(item.turns) == 1:
            yield "question", _spoken_s(item.turns[0].user)
        return
    kind = "cue" if is_cue else _KINDS.get(table)
    length_s = item.duration_s
    if length_s is None and isinstance(item.audio, SyntheticSound):
        length_s = _SYNTHETIC_CUE_S if is_cue else _SYNTHETIC_S
    elif length_s is None and item.text:
        length_s = _spoken_s(item.text)
    if kind is not None and length_s is not None:
        yield kind, length_s


def _spoken_s(text: str) -> float:
    han = sum("\u3400" <= c <= "\u9fff" for c in text)
    return _AROUND_S + _HAN_S * han + _LETTER_S * (len(text) - han)


def _length_s(
    recipe: BuildRecipe, task: str, in_place: float, lengths_s: Mapping[Kind, float]
) -> float:
    lengths_s = {**USUAL_S, **lengths_s}
    if task in FORMS:
        return {"t_t": 0.0, "a_t": lengths_s["speech"], "a_t_t": lengths_s["sound"]}[task]
    compose, time_s = recipe.compose, recipe.stream.chunk_s
    gap_s, tail_s = (
        to_seconds(SLOT_SAMPLES) * sum(r) / 2 for r in (compose.gap_slots, compose.tail_slots)
    )
    items = _items(recipe.tasks, task, in_place)
    count = sum(items.values())
    items_s = sum(n * (gap_s + lengths_s[kind]) for kind, n in items.items())
    # What does not fit is left out as a whole.
    most_s = compose.max_chunks * time_s - items_s / count / 2
    around_s = tail_s + time_s / 2
    return sum(min(items_s * factor + around_s, most_s) for factor in _SPREAD) / len(_SPREAD)


def _items(tasks: TasksConfig, task: str, in_place: float) -> dict[Kind, float]:
    """How many items of each kind follow each other in a stream of a task, on average.

    Args:
        in_place: the share of the streams inside a scene, of tasks that do not need one.
    """
    told = 1 - tasks.instructions.written_share
    if is_conversation(task) and task != "chat_in_scene":
        in_place *= _SUITS_TALK
    nowhere = 1 - in_place
    utterances, translated = (
        _mean(tasks.transcription.utterances),
        _mean(tasks.translation.utterances),
    )
    sounds, others = tasks.sounds, _mean(tasks.sounds.others)
    front, asked = in_place * _IN_FRONT, in_place * tasks.places.asked_share
    turns, mixins, cues = _mean(tasks.dialogue.turns), tasks.mixins, _mean(tasks.cues.items)
    match task:
        case "transcribe_words" | "transcribe_utterances":
            return {"speech": utterances, "told": told}
        case "transcribe_in_noise":
            return {"speech": utterances, "told": told, "placed": front}
        case "transcribe_speakers":
            return {"speech": tasks.transcription.utterances[1], "told": told}
        case "translate_segments" | "translate_wait_k":
            return {"translated": translated, "told": told}
        case "translate_on_request":
            return {"translated": translated + 1, "told": 1 - tasks.translation.uninstructed_share}
        case "interpret_conversation":
            return {"translated": translated + 1, "told": told}
        case "answer_about_sound":
            exchanges = nowhere * _mean(sounds.questions)
            sounds_before = exchanges * others
            return {"sound": sounds_before, "placed": front, "said": exchanges + in_place}
        case "choose_sound":
            exchanges = nowhere * _mean(sounds.questions)
            return {"sound": exchanges, "placed": front, "told": exchanges + in_place}
        case "describe_sound":
            return {"sound": nowhere * others, "placed": front, "told": told}
        case "count_events":
            beside = _mean(sounds.counted) - in_place  # one of those counted is in the scene
            return {"sound": beside + nowhere * others, "placed": front, "said": 1}
        case "chat_multi_turn" | "chat_with_emotion" | "chat_over_background":
            mixed_in = nowhere * (mixins.silent + mixins.proactive)
            said = asked + nowhere * mixins.proactive  # the user reacts to the danger
            return {"turn": turns, "sound": mixed_in, "placed": front, "said": said}
        case "answer_facts":
            return {"question": turns}
        case "count_sounds":
            counted = (1 + len(tasks.counting.words)) / 2
            untold = tasks.counting.uninstructed_share
            others = untold + counted * tasks.counting.distractor_share
            return {"told": 1 - untold, "counted": counted, "cue": others}
        case "alert_on_sound":
            return {"sound": nowhere * (1.5 + others), "placed": front, "told": told}
        case "hold_replies":
            return {"turn": 2.5, "said": 2, "placed": front}
        case "carry_out_instruction":
            return {"turn": turns, "speech": 1, "placed": front, "said": asked}
        case "react_to_event":
            return {"sound": nowhere * (1 + others), "placed": front}
        case "react_to_events":
            return {"sound": _mean(sounds.alarms) + others}
        case "chat_in_scene":
            asked_share = tasks.places.asked_share
            return {"turn": turns, "placed": _IN_FRONT, "said": asked_share}
        case "ask_about_scene":
            return {"placed": _IN_FRONT, "said": 1}
        case "warn_in_conversation":
            return {"turn": turns, "sound": 2 * nowhere, "placed": front, "said": 1}
        case "recall_conversation":
            return {"turn": 4.5, "placed": front, "said": asked}
        case "answer_cues" | "stay_silent":
            return {"cue": cues}
        case _:
            raise ValueError(f"how long streams of {task!r} are is not known")


def _mean(bounds: tuple[int, int]) -> float:
    return sum(bounds) / 2
