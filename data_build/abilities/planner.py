"""Which function plans which task, and the plan of one stream."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from data_build.abilities.config import AbilitiesConfig
from data_build.abilities.counting import plan_counting
from data_build.abilities.cues import plan_cues, plan_quiet
from data_build.abilities.scene import Planned
from data_build.abilities.taxonomy import ability_of
from data_build.abilities.transcription import plan_utterances, plan_words
from data_build.material.library import Library
from data_build.records import StreamPlan

Planner = Callable[[Library, AbilitiesConfig, np.random.Generator], Planned]

PLANNERS: dict[str, Planner] = {
    "answer_cues": plan_cues,
    "stay_silent": plan_quiet,
    "count_sounds": plan_counting,
    "transcribe_words": plan_words,
    "transcribe_utterances": plan_utterances,
}


def plan_stream(
    stream_id: str,
    task: str,
    system: str,
    library: Library,
    config: AbilitiesConfig,
    rng: np.random.Generator,
) -> StreamPlan:
    """The plan of one stream; chance comes from ``rng`` alone.

    Raises:
        UserError: if the library holds nothing that the task could use.
    """
    planned = PLANNERS[task](library, config, rng)
    return StreamPlan(stream_id, ability_of(task), task, system, planned.items, planned.notes)
