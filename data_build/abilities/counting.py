"""An instruction early in the stream governs what later deserves an answer: count a sound."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from data_build.abilities.config import CountingConfig
from data_build.abilities.cues import take_of
from data_build.material.library import Cue
from data_build.records import Item, PlannedReply, StreamPlan


def plan_counting(
    stream_id: str,
    system: str,
    instruction: Cue,
    cues: Sequence[Cue],
    config: CountingConfig,
    rng: np.random.Generator,
) -> StreamPlan:
    """The instruction, then the sound one to n times with silent cues between.

    In a share of the streams a silent cue stands in for the instruction: then the same sounds
    deserve nothing.
    """
    counted = next(c for c in cues if c.config.name == config.sound)
    silent = [c for c in cues if c.config.reply is None and c is not counted]
    instructed = not silent or rng.random() >= config.uninstructed_share
    items: list[Item] = []
    if instructed:
        items.append(take_of(instruction, rng))
    else:
        items.append(take_of(silent[int(rng.integers(len(silent)))], rng))
    for number in range(int(rng.integers(1, len(config.words) + 1))):
        if silent and rng.random() < config.distractor_share:
            items.append(take_of(silent[int(rng.integers(len(silent)))], rng))
        beep = take_of(counted, rng, replies=False)
        if instructed:
            beep = replace(beep, replies=(PlannedReply(config.words[number]),))
        items.append(beep)
    return StreamPlan(
        stream_id,
        "instruction_following",
        "count_sounds",
        system,
        tuple(items),
        {"instructed": instructed},
    )
