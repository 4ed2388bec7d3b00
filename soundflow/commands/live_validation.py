"""Connects engine and trainer: decodes held-out streams live while a model trains."""

from __future__ import annotations

from inference.evaluate.validate import stream_validation
from soundflow.train.recipe import TrainRecipe
from soundflow.train.run import StreamValidate


def live_validation(recipe: TrainRecipe) -> StreamValidate | None:
    """The callable that is passed to `soundflow.train`, which may not import `inference`."""
    held_out = [s.folder / s.valid for s in recipe.data.sources if s.valid is not None]
    return stream_validation(held_out[0], seed=recipe.seed) if held_out else None
