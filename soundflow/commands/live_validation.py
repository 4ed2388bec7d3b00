"""Connects engine and trainer: decodes held-out streams live while a model trains."""

from __future__ import annotations

import logging
from dataclasses import asdict

from inference.evaluate.store import Part
from inference.evaluate.validate import StreamValidation
from soundflow.model.weights import Checkpoint
from soundflow.shards.reader import ShardSet
from soundflow.train.held_out import LiveFigures, LiveValidate, Poll
from soundflow.train.ranks import gathered, place
from soundflow.train.recipe import TrainRecipe

log = logging.getLogger(__name__)


def live_validation(recipe: TrainRecipe) -> LiveValidate | None:
    """The callable that is passed to `soundflow.train`, which may not import `inference`.

    None where no online stream is held out.
    """
    splits = [ShardSet(s.folder / s.valid) for s in recipe.data.sources if s.valid is not None]
    if not splits:
        return None
    n_streams = recipe.intervals.live_streams
    validation = StreamValidation(splits, n_streams, seed=recipe.seed)
    if not len(validation):
        return None

    def validate(checkpoint: Checkpoint, poll: Poll) -> LiveFigures:
        rank, world = place()
        found = validation(checkpoint, Part(rank, world), gathered, poll)
        if found.failures and rank == 0:
            log.warning(
                "%d of %d held-out streams failed and count as misses; the first: %s",
                len(found.failures), len(validation), found.failures[0],
            )  # fmt: skip
        lines = [asdict(line) for line in found.transcripts]
        return LiveFigures(found.figures, found.calibration, lines)

    return validate
