"""Connects engine and trainer: decodes held-out streams live while a model trains."""

from __future__ import annotations

from inference.evaluate.validate import stream_validation
from soundflow.train.recipe import TrainRecipe
from soundflow.train.run import StreamValidate


def live_validation(recipe: TrainRecipe) -> StreamValidate | None:
    """The callable that is passed to `soundflow.train`, which may not import `inference`."""
    if recipe.data.valid is None:
        return None
    return stream_validation(recipe.data.folder / recipe.data.valid, seed=recipe.seed)
