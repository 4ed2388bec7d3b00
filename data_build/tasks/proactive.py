"""Nobody asks: a word at what calls for help, none at anything else."""

from __future__ import annotations

import numpy as np

from data_build.pools.pools import Library
from data_build.records import Item
from data_build.tasks.config import AbilitiesConfig
from data_build.tasks.drawing import Planned, draw, how_many, pick
from data_build.tasks.mixins import alarm_item, intervention_of, scattered
from data_build.tasks.wording import sound_name


def plan_single(library: Library, config: AbilitiesConfig, rng: np.random.Generator) -> Planned:
    """One event that warrants a word among everyday sounds."""
    alarm = draw(library.alarms, "sound that calls for help", rng)
    notes = {"category": intervention_of(alarm).category}
    return Planned(scattered([alarm_item(alarm)], _harmless(library, config, rng), rng), notes)


def plan_several(library: Library, config: AbilitiesConfig, rng: np.random.Generator) -> Planned:
    """Events of one category, each answered for itself, among everyday sounds."""
    first = draw(library.alarms, "sound that calls for help", rng)
    category = intervention_of(first).category
    alarms = [first] + [
        pick(
            library.alarms, lambda c: intervention_of(c).category == category,
            f"sound of category {category}", rng,
        )
        for _ in range(how_many(config.sounds.alarms, rng) - 1)
    ]  # fmt: skip
    items = [alarm_item(clip) for clip in alarms]
    return Planned(scattered(items, _harmless(library, config, rng), rng), {"category": category})


def _harmless(library: Library, config: AbilitiesConfig, rng: np.random.Generator) -> list[Item]:
    clips = [
        draw(library.benign, "harmless sound", rng)
        for _ in range(how_many(config.sounds.others, rng))
    ]
    return [Item(clip, sound_name(clip)) for clip in clips]
