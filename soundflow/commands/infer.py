"""`soundflow infer RECIPE_OR_CHECKPOINT AUDIO... key.sub=value...`."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from inference.infer.recipe import InferRecipe
from inference.infer.run import Devices, infer
from inference.sources.names import MICROPHONE
from soundflow.config.load import build, load, tree_of
from soundflow.convert.engine import open_engine
from soundflow.errors import UserError

COMMAND = "soundflow infer"


def run(args: argparse.Namespace) -> None:
    recipe = recipe_of(args)
    if not recipe.audio:
        raise UserError(
            f"{args.source}: no audio was named", "name recordings, or '-' for standard input"
        )
    infer(recipe, as_json=args.json, devices=Devices(open_engine))


def recipe_of(args: argparse.Namespace) -> InferRecipe:
    """The recipe, or one made from the checkpoint, with what the command line adds to it."""
    words = list(args.rest)
    device = args.microphone
    if device is not None and "=" in device:  # `--microphone session.threshold=0.7`
        words.append(device)
        device = ""
    for word in (args.source, *words):
        if not word.isascii() and word != word.encode(errors="replace").decode():
            raise UserError(f"{word!r}: the name is not UTF-8", "rename the file")
    # A file that exists is audio, even with '=' in its name.
    audio = [word for word in words if "=" not in word or Path(word).exists()]
    overrides = [word for word in words if word not in audio]
    if args.realtime:
        overrides.append("real_time=true")
    if device is not None:
        audio.append(f"{MICROPHONE}:{device}" if device else MICROPHONE)
    if Path(args.source).suffix in (".yaml", ".yml"):
        recipe = load(args.source, InferRecipe, overrides, command="infer")
        return replace(recipe, audio=tuple(audio)) if audio else recipe
    tree = tree_of(overrides, "soundflow infer")
    return build(
        InferRecipe, {"checkpoint": args.source, "audio": audio, **tree}, "soundflow infer"
    )
