"""`soundflow infer RECIPE_OR_CHECKPOINT AUDIO... key.sub=value...`."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from inference.recipe import InferRecipe
from inference.run import infer
from soundflow.config.load import build, load, tree_of
from soundflow.convert.engine import open_engine
from soundflow.errors import UserError


def run(args: argparse.Namespace) -> None:
    recipe = _recipe(args.source, args.rest)
    if not recipe.audio:
        raise UserError(
            f"{args.source}: no audio was named", "name recordings, or '-' for standard input"
        )
    infer(recipe, as_json=args.json, open_engine=open_engine)


def _recipe(source: str, rest: list[str]) -> InferRecipe:
    for word in (source, *rest):
        if not word.isascii() and word != word.encode(errors="replace").decode():
            raise UserError(f"{word!r}: the name is not UTF-8", "rename the file")
    # A file that exists is audio, even with '=' in its name.
    audio = [word for word in rest if "=" not in word or Path(word).exists()]
    overrides = [word for word in rest if word not in audio]
    if Path(source).suffix in (".yaml", ".yml"):
        recipe = load(source, InferRecipe, overrides, command="infer")
        return replace(recipe, audio=tuple(audio)) if audio else recipe
    tree = tree_of(overrides, "soundflow infer")
    return build(InferRecipe, {"checkpoint": source, "audio": audio, **tree}, "soundflow infer")
