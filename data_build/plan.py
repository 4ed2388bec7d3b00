"""Which stream gets which task, and its plan: a pure function of recipe, split and number."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from data_build.abilities.counting import plan_counting
from data_build.abilities.cues import plan_cues
from data_build.material.library import Library
from data_build.recipe import BuildRecipe
from data_build.records import StreamPlan

_GOLDEN = 0.6180339887498949


def task_of(shares: Mapping[str, float], number: int) -> str:
    """The task of stream ``number``: shares are met in every run of streams, without chance.

    The golden-ratio sequence spreads every task evenly, so a small split has its exact mix.
    """
    at = (0.5 + number * _GOLDEN) % 1.0 * sum(shares.values())
    for task, share in shares.items():
        at -= share
        if at < 0:
            return task
    return next(reversed([t for t in shares if shares[t] > 0]))


def plan_stream(
    recipe: BuildRecipe, split: str, number: int, library: Library, rng: np.random.Generator
) -> StreamPlan:
    stream_id = f"{split}-{number:06d}"
    task = task_of(recipe.splits[split].tasks, number)
    if task == "counting" and library.instruction is not None:
        return plan_counting(
            stream_id, recipe.system, library.instruction, library.cues, recipe.counting, rng
        )
    return plan_cues(
        stream_id, recipe.system, library.cues, recipe.scene, rng, quiet=task == "quiet"
    )
