"""`soundflow train recipe.yaml`."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from soundflow.config.load import build, read_recipe
from soundflow.train.chain import is_chain, stage_recipes
from soundflow.train.recipe import TrainRecipe


def run(args: argparse.Namespace) -> None:
    environment = dict(os.environ)  # before a launcher of processes adds to it
    file = Path(args.recipe)
    tree = read_recipe(file, args.overrides, "train")
    recipes = stage_recipes(tree, file) if is_chain(tree) else [build(TrainRecipe, tree, str(file))]
    from soundflow.commands.training import train_all

    train_all(recipes, environment, args.json)
