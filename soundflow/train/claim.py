"""Which run an output folder belongs to, so that a changed recipe does not resume another run's
state."""

from __future__ import annotations

import copy
import errno
import fcntl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from soundflow import output as outputs
from soundflow.config.load import build
from soundflow.config.record import recipe_hash, to_plain
from soundflow.errors import UserError
from soundflow.output import Output, differences, listed, read_output
from soundflow.train.checkpoints import FOLDER as STATES
from soundflow.train.checkpoints import newest_state
from soundflow.train.loggers import CSV_FILE, TENSORBOARD
from soundflow.train.metrics import CALIBRATIONS, TRANSCRIPTS
from soundflow.train.metrics import FILE_NAME as METRICS_FILE
from soundflow.train.provenance import PROVENANCE_FILE
from soundflow.train.recipe import MODEL_FOLDER, TrainRecipe

RECIPE_FILE, BEST_FOLDER = "train.yaml", "best"
REPORT_FILE = "report.html"  # written by `soundflow train`
LOCK_FILE = "train.lock"
# Everything that a run writes at the top of its output.
NAMES = (
    RECIPE_FILE, METRICS_FILE, CSV_FILE, TRANSCRIPTS, CALIBRATIONS, STATES, MODEL_FOLDER,
    BEST_FOLDER, "wandb", TENSORBOARD, "lightning_logs", REPORT_FILE, PROVENANCE_FILE, LOCK_FILE,
)  # fmt: skip

CONTENT = "content of the data"

# What changes speed or reporting only may differ when a run is resumed.
FREE = ("output", "compute", "intervals", "logging")
FREE_OF_DATA = ("row_tokens", "workers", "cache_mb", "features_folder", "features_max_gb")
FREE_OF_SOURCES = ("folder", "valid")


def claim(recipe: TrainRecipe, content_hash: str) -> bool:
    """Records that ``output`` holds this run; returns whether it did already.

    Raises:
        UserError: as `output_of`, or if the folder holds anything foreign.
    """
    return outputs.claim(recipe.output, output_of(recipe, content_hash))


def output_of(recipe: TrainRecipe, content_hash: str) -> Output:
    """The `Output` of this run; of the run that ``output`` holds, where this one resumes it.

    Args:
        content_hash: of the training data, independent of its path.

    Raises:
        UserError: if the folder holds another run, naming the keys that differ.
    """
    settings = _settings(recipe, content_hash)
    there = read_output(recipe.output)
    if there is not None and there.command == "train":
        changed = differences(_as_read_today(there.settings, recipe), settings)
        if changed:
            raise _another_run(recipe, changed)
        settings = dict(there.settings)
    return Output("train", settings, NAMES)


def run_id(output: Path) -> str:
    """16 hex digits, the same for every command that goes on with the run in ``output``."""
    there = read_output(output)
    assert there is not None, "claimed before"
    return recipe_hash({"output": str(output), "settings": dict(there.settings)})


@contextmanager
def alone(output: Path) -> Iterator[None]:
    """Keeps other commands from training in ``output`` inside the block; for the first process.

    The lock goes with the process, however it ends, and is not passed on to data workers. It holds
    over the nodes of a shared file system; where that has no locks, nothing is kept.

    Raises:
        UserError: if another command trains there now.
    """
    with (output / LOCK_FILE).open("a") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN):
                raise UserError(
                    f"{output}: another command trains there now",
                    "wait until it has ended, or name another output",
                ) from error
        yield


def _as_read_today(recorded: Mapping[str, Any], recipe: TrainRecipe) -> dict[str, Any]:
    """Recorded settings with the defaults of those that did not exist when they were recorded."""
    tree = copy.deepcopy({k: v for k, v in recorded.items() if k != CONTENT})
    tree["output"] = str(recipe.output)
    for source in tree["data"]["sources"]:
        source["folder"] = str(recipe.data.sources[0].folder)  # free, but every source has one
    try:
        return _settings(build(TrainRecipe, tree, str(recipe.output)), str(recorded[CONTENT]))
    except UserError:  # a setting that is no more: a difference that is told as it stands
        return dict(recorded)


def _settings(recipe: TrainRecipe, content_hash: str) -> dict[str, Any]:
    plain = {k: v for k, v in to_plain(recipe).items() if k not in FREE}
    plain["data"] = {k: v for k, v in plain["data"].items() if k not in FREE_OF_DATA}
    plain["data"]["sources"] = [
        {k: v for k, v in source.items() if k not in FREE_OF_SOURCES}
        for source in plain["data"]["sources"]
    ]
    return {**plain, CONTENT: content_hash}


def _another_run(recipe: TrainRecipe, changed: dict[str, str]) -> UserError:
    hint = "choose another output, or remove that folder"
    if newest_state(recipe.output) is None and not (recipe.output / MODEL_FOLDER).exists():
        hint = "it has no saved state: remove that folder, or choose another output"
    elif list(changed) == ["optim.updates"]:
        hint = (
            "the learning rate follows from optim.updates, so a run is not made longer; to train "
            f"its model further: output=ANOTHER model=null start_from={recipe.output}/model"
        )
    return UserError(f"{recipe.output}: holds a run of another recipe:{listed(changed)}", hint)
