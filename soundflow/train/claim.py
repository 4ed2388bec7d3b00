"""Whose run an output folder holds, so that a changed recipe does not resume a foreign state."""

from __future__ import annotations

import json
from typing import Any

from soundflow.atomic import write_text
from soundflow.config.record import record, to_plain
from soundflow.errors import UserError
from soundflow.train.recipe import TrainRecipe

RECIPE_FILE = "train.yaml"
IDENTITY_FILE = "identity.json"

# What changes speed or reporting only may differ when a run is resumed.
FREE = ("output", "compute", "intervals")
FREE_OF_DATA = ("folder", "valid", "micro_batch_size", "workers", "cache_mb")
SHOWN = 4


def claim(recipe: TrainRecipe, content_hash: str) -> bool:
    """Notes that ``output`` holds this run; whether it did already.

    Args:
        content_hash: of the training data, wherever they lie.

    Raises:
        UserError: if it holds another run, naming the keys that differ.
    """
    mine = _identity(recipe, content_hash)
    file = recipe.output / IDENTITY_FILE
    found = file.is_file()
    if found:
        theirs = json.loads(file.read_bytes())
        differing = sorted(k for k in mine.keys() | theirs.keys() if mine.get(k) != theirs.get(k))
        if differing:
            raise _another_run(recipe, differing, theirs, mine)
    write_text(file, json.dumps(mine, indent=1, sort_keys=True))
    record(recipe.output / RECIPE_FILE, recipe)
    return found


def _identity(recipe: TrainRecipe, content_hash: str) -> dict[str, Any]:
    plain = {k: v for k, v in to_plain(recipe).items() if k not in FREE}
    plain["data"] = {k: v for k, v in plain["data"].items() if k not in FREE_OF_DATA}
    return dict(_flat(plain, "")) | {"the data": content_hash}


def _flat(tree: dict[str, Any], prefix: str) -> list[tuple[str, Any]]:
    return [
        pair
        for key, value in tree.items()
        for pair in (
            _flat(value, f"{prefix}{key}.")
            if isinstance(value, dict)
            else [(f"{prefix}{key}", value)]
        )
    ]


def _another_run(
    recipe: TrainRecipe, differing: list[str], theirs: dict[str, Any], mine: dict[str, Any]
) -> UserError:
    shown = ", ".join(f"{k} {theirs.get(k)} there, {mine.get(k)} now" for k in differing[:SHOWN])
    more = f", and {len(differing) - SHOWN} more" if len(differing) > SHOWN else ""
    hint = "choose another output, or remove that folder"
    if differing == ["optim.updates"]:
        hint = (
            "the learning rate follows from optim.updates, so a run is not made longer; to train "
            f"its model further: output=ANOTHER model=null start_from={recipe.output}/model"
        )
    return UserError(f"{recipe.output}: holds a run of another recipe ({shown}{more})", hint)
