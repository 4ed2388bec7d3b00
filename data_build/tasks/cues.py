"""Cues that deserve a reply among cues that do not: when to speak, decided from meaning."""

from __future__ import annotations

import numpy as np

from data_build.pools.pools import Cue, Library
from data_build.records import Item
from data_build.tasks.config import AbilitiesConfig
from data_build.tasks.drawing import Planned, any_cue, cue_item, draw
from data_build.tasks.wording import sound_name


def plan_cues(library: Library, config: AbilitiesConfig, rng: np.random.Generator) -> Planned:
    """Cues in random order; about ``respond_share`` of them have a reply."""
    speaking, silent = _sides(library)
    items = []
    for _ in range(_how_many(config, rng)):
        wants_reply = rng.random() < config.scene.respond_share
        pool = (speaking if wants_reply else silent) or speaking or silent
        items.append(cue_item(library, any_cue(pool, "cue", rng), rng))
    return Planned(tuple(items))


def plan_quiet(library: Library, config: AbilitiesConfig, rng: np.random.Generator) -> Planned:
    """Only what deserves nothing: a stream in which the right thing is to say nothing.

    Without cues that have no reply, sounds that the silence policy is silent about.
    """
    _, silent = _sides(library)
    count = _how_many(config, rng)
    if not silent and len(library.benign):
        clips = [draw(library.benign, "harmless sound", rng) for _ in range(count)]
        return Planned(tuple(Item(clip, sound_name(clip)) for clip in clips))
    return Planned(
        tuple(
            cue_item(library, any_cue(silent, "cue without a reply", rng), rng)
            for _ in range(count)
        )
    )


def _sides(library: Library) -> tuple[list[Cue], list[Cue]]:
    """Cues with and without a reply."""
    return (
        [c for c in library.cues if c.config.reply is not None],
        [c for c in library.cues if c.config.reply is None],
    )


def _how_many(config: AbilitiesConfig, rng: np.random.Generator) -> int:
    low, high = config.scene.items
    return int(rng.integers(low, high + 1))
