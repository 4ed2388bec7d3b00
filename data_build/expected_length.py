"""How long streams are expected to be, from the settings of a recipe and the texts of its material.

An estimate for the plan of `soundflow check` and for the first shards of a split of hours; what
counts is measured on the shards that are finished.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

from data_build.recipe import BuildRecipe
from data_build.records import Clip, Dialogue, SyntheticSound
from data_build.tasks.config import TasksConfig
from data_build.tasks.table import FORMS, needs_of
from soundflow.protocol.timebase import SLOT_SAMPLES, to_seconds

# What follows each other in a stream: turns of dialogues, speech to be transcribed or translated,
# sounds, cues, and what else the user says: instructions and questions.
Kind = Literal["turn", "speech", "translated", "sound", "cue", "said"]
# Usual lengths in seconds, where the material does not tell them.
USUAL_S: Mapping[Kind, float] = {
    "turn": 2.2, "speech": 2.2, "translated": 2.2, "sound": 2.0, "cue": 1.2, "said": 2.2,
}  # fmt: skip
# FLAC, tokens and records: 47e6 where all is synthesised, 65e6 over noisy recordings.
BYTES_PER_HOUR = 55e6
# Of the speech of our voices: 0.15 s, and so much for each letter.
_AROUND_S, _LETTER_S, _HAN_S = 0.15, 0.056, 0.22
_EDGE_S = 0.1  # soft edges of a clip, in which nothing is heard
_SYNTHETIC_S, _SYNTHETIC_CUE_S = 1.5, 1.0  # synthesised sounds of a length of their own
_IN_FRONT = 2.5  # sounds of a scene that follow each other
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


def kind_of(table: str, is_cue: bool) -> Kind | None:
    """What the items of a table are in a stream; None: they follow no others."""
    kinds: dict[str, Kind] = {
        "dialogues": "turn", "speech": "speech", "translated": "translated", "sounds": "sound",
    }  # fmt: skip
    return "cue" if is_cue else kinds.get(table)


def item_seconds(item: Clip | Dialogue, is_cue: bool = False) -> float | None:
    """The length of an item, of a dialogue the mean of its turns; None where nothing tells it."""
    if isinstance(item, Dialogue):
        return sum(_spoken_s(turn.user) for turn in item.turns) / len(item.turns)
    if isinstance(item.audio, SyntheticSound):
        return item.duration_s or (_SYNTHETIC_CUE_S if is_cue else _SYNTHETIC_S)
    if item.duration_s is not None:
        return item.duration_s
    return _spoken_s(item.text) if item.text else None


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
    items_s = sum(n * (gap_s + _EDGE_S + lengths_s[kind]) for kind, n in items.items())
    # What does not fit is left out as a whole.
    most_s = compose.max_chunks * time_s - items_s / count / 2
    around_s = tail_s + time_s / 2
    return sum(min(items_s * factor + around_s, most_s) for factor in _SPREAD) / len(_SPREAD)


def _items(tasks: TasksConfig, task: str, in_place: float) -> dict[Kind, float]:
    """How many items of each kind follow each other in a stream of a task, on average.

    Args:
        in_place: the share of the streams inside a scene, of tasks that do not need one.
    """
    told, nowhere = 1 - tasks.instructions.written_share, 1 - in_place
    utterances, translated = (
        _mean(tasks.transcription.utterances),
        _mean(tasks.translation.utterances),
    )
    sounds, others = tasks.sounds, _mean(tasks.sounds.others)
    front, asked = in_place * _IN_FRONT, in_place * tasks.places.asked_share
    turns, mixins, cues = _mean(tasks.dialogue.turns), tasks.mixins, _mean(tasks.cues.items)
    match task:
        case "transcribe_words" | "transcribe_utterances":
            return {"speech": utterances, "said": told}
        case "transcribe_in_noise":
            return {"speech": utterances, "said": told, "sound": front}
        case "transcribe_speakers":
            return {"speech": tasks.transcription.utterances[1], "said": told}
        case "translate_segments" | "translate_wait_k":
            return {"translated": translated, "said": told}
        case "translate_on_request":
            return {"translated": translated + 1, "said": 1 - tasks.translation.uninstructed_share}
        case "interpret_conversation":
            return {"translated": translated + 1, "said": told}
        case "answer_about_sound" | "choose_sound":
            questions = _mean(sounds.questions)
            before = others if task == "answer_about_sound" else 1
            return {
                "sound": nowhere * questions * before + front,
                "said": nowhere * questions + in_place,
            }
        case "describe_sound":
            return {"sound": nowhere * others + front, "said": told}
        case "count_events":
            return {"sound": _mean(sounds.counted) + nowhere * (others - 1) + front, "said": 1}
        case "chat_multi_turn" | "chat_with_emotion" | "chat_over_background":
            mixed_in = nowhere * (mixins.silent + mixins.proactive)
            said = asked + nowhere * mixins.proactive  # the user reacts to the danger
            return {"turn": turns + mixins.history, "sound": mixed_in + front, "said": said}
        case "answer_facts":
            return {"turn": turns}
        case "count_sounds":
            counted = (1 + len(tasks.counting.words)) / 2
            return {"said": 1, "cue": counted * (1 + tasks.counting.distractor_share)}
        case "alert_on_sound":
            return {"sound": nowhere * (1.5 + others) + front, "said": told}
        case "hold_replies":
            return {"turn": 2.5, "said": 2, "sound": front}
        case "carry_out_instruction":
            return {"turn": turns, "speech": 1, "sound": front, "said": asked}
        case "react_to_event":
            return {"sound": nowhere * (1 + others) + front}
        case "react_to_events":
            return {"sound": _mean(sounds.alarms) + others}
        case "chat_in_scene":
            asked_share = tasks.places.asked_share
            return {"turn": turns + mixins.history, "sound": _IN_FRONT, "said": asked_share}
        case "ask_about_scene":
            return {"sound": _IN_FRONT, "said": 1}
        case "warn_in_conversation":
            return {"turn": turns, "sound": 2 * nowhere + front, "said": 1}
        case "recall_conversation":
            return {"turn": 4.5, "sound": front, "said": asked}
        case "answer_cues" | "stay_silent":
            return {"cue": cues}
        case _:
            raise ValueError(f"how long streams of {task!r} are is not known")


def _mean(bounds: tuple[int, int]) -> float:
    return sum(bounds) / 2
