"""Where the engine meets the trainer: held-out streams decoded live while a model trains."""

from __future__ import annotations

from inference.evaluate.validate import stream_validation
from soundflow.train.recipe import TrainRecipe
from soundflow.train.run import StreamValidate


def live_validation(recipe: TrainRecipe) -> StreamValidate | None:
    """The callable that `soundflow.train` is given, since no wing may import another."""
    if recipe.data.valid is None:
        return None
    return stream_validation(recipe.data.folder / recipe.data.valid, seed=recipe.seed)
