"""How long streams are expected to be, from the settings of a recipe alone.

An estimate for the plan of `soundflow check` and for the first shards of a split of hours; what
counts is measured on the shards that are finished.
"""

from __future__ import annotations

import math

from data_build.recipe import BuildRecipe
from data_build.tasks.table import FORMS, TASKS
from soundflow.protocol.timebase import SLOT_SAMPLES, to_seconds

ITEM_S = 2.4  # a spoken turn, or a sound, of the stock recipes on average
BYTES_PER_HOUR = 65e6  # FLAC, tokens and records (tests/benchmarks/bench_build.py)


def expected_stream_s(recipe: BuildRecipe, split: str) -> float:
    """Mean length of the streams of a split, in seconds."""
    weights = recipe.splits[split].weights
    total = sum(weights.values())
    length_s = sum(_length_s(recipe, task) * weight for task, weight in weights.items()) / total
    return max(length_s, recipe.stream.chunk_s)


def expected_streams(recipe: BuildRecipe, split: str) -> int:
    """How many streams a split will have: as stated, or about as many as its hours hold."""
    config = recipe.splits[split]
    if config.streams is not None:
        return config.streams
    assert config.hours is not None  # `SplitConfig` sees to it
    return math.ceil(config.hours * 3600 / expected_stream_s(recipe, split))


def _length_s(recipe: BuildRecipe, task: str) -> float:
    if task in FORMS:
        return 0.0 if task == "t_t" else ITEM_S
    compose = recipe.compose
    slot_s = to_seconds(SLOT_SAMPLES)
    gap_s, tail_s = (slot_s * sum(r) / 2 for r in (compose.gap_slots, compose.tail_slots))
    length_s = _items(recipe, TASKS[task].ability) * (gap_s + ITEM_S) + tail_s
    return min(length_s, compose.max_chunks * recipe.stream.chunk_s)


def _items(recipe: BuildRecipe, ability: str) -> float:
    """How many items follow each other in a stream, with instructions and questions."""
    tasks = recipe.tasks

    def mean(bounds: tuple[int, int]) -> float:
        return sum(bounds) / 2

    match ability:
        case "real_time_asr":
            return mean(tasks.transcription.utterances) + 0.5
        case "streaming_translation":
            return mean(tasks.translation.utterances) + 0.5
        case "audio_understanding":
            return mean(tasks.sounds.others) + 2
        case "voice_chat":
            mixed_in = tasks.mixins.history + tasks.mixins.silent + tasks.mixins.proactive
            return mean(tasks.dialogue.turns) + mixed_in
        case "proactive_response":
            return mean(tasks.cues.items)
        case _:  # an instruction or a question beside a conversation or a scene
            return mean(tasks.dialogue.turns) + 2
