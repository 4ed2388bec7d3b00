"""`soundflow train recipe.yaml`."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from soundflow.config.load import build, read_recipe
from soundflow.errors import EXIT_OK, UserError
from soundflow.train.chain import is_chain, stage_recipes
from soundflow.train.launch import by_launcher
from soundflow.train.recipe import TrainRecipe


def run(args: argparse.Namespace) -> int:
    environment = dict(os.environ)  # before a launcher of processes adds to it
    try:
        if by_launcher():
            from soundflow.train.ranks import together

            recipes = together(lambda: _recipes(args))
            assert recipes is not None
        else:
            recipes = _recipes(args)
        from soundflow.commands.training import train_all

        train_all(recipes, environment, args.json)
    except UserError as error:
        if not error.together:
            raise
        from soundflow.train.ranks import told_by_first

        return told_by_first(error)
    return EXIT_OK


def _recipes(args: argparse.Namespace) -> list[TrainRecipe]:
    """The recipes of a chain of stages, or one."""
    file = Path(args.recipe)
    tree = read_recipe(file, args.overrides, "train")
    return stage_recipes(tree, file) if is_chain(tree) else [build(TrainRecipe, tree, str(file))]
