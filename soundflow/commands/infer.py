"""`soundflow infer RECIPE_OR_CHECKPOINT AUDIO... key.sub=value...`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from inference.infer.recipe import InferRecipe
from inference.sources.names import MICROPHONE
from soundflow.config.load import load_or_open
from soundflow.errors import EXIT_OK, UserError
from soundflow.logs import OUT

EXIT_DIFFERENT = 1


def run(args: argparse.Namespace) -> int:
    """0; 1 where a replay differs and two sessions were not to be compared."""
    recipe = recipe_of(args)
    if args.replay is not None:
        if recipe.audio or args.record or args.report or args.realtime:
            raise UserError("--replay takes audio and speed from the recording", "name no audio")
        return _replay(args, recipe)
    if args.compare:
        raise UserError("--compare goes with --replay", "name a recorded session")
    if recipe.mode == "offline" and (args.record or args.report):
        raise UserError("--record and --report are of live sessions", "drop them, or --ask")
    if recipe.mode != "offline" and not recipe.audio:
        raise UserError(
            f"{args.source}: no audio was named", "name recordings, or '-' for standard input"
        )
    from inference.infer.ask import ask
    from inference.infer.run import Devices, infer
    from soundflow.convert.engine import open_engine

    devices = Devices(open_engine)
    if recipe.mode == "offline":
        ask(recipe, as_json=args.json, devices=devices)
    else:
        infer(recipe, as_json=args.json, record=args.record, report=args.report, devices=devices)
    return EXIT_OK


def _replay(args: argparse.Namespace, recipe: InferRecipe) -> int:
    from inference.infer.replay import comparison_lines
    from inference.infer.run import Devices, replay_session
    from soundflow.convert.engine import open_engine

    found = replay_session(
        args.replay,
        recipe.checkpoint,
        settings=[word for word in args.rest if "=" in word],
        to_compare=args.compare,
        devices=Devices(open_engine),
    )
    if args.json:
        print(json.dumps(found.to_json(), indent=1))
    else:
        for line in comparison_lines(found):
            OUT.print(line, soft_wrap=True)
    return EXIT_OK if found.first is None or args.compare else EXIT_DIFFERENT


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
    if device is not None:
        audio.append(f"{MICROPHONE}:{device}" if device else MICROPHONE)
    given: dict[str, Any] = {"audio": audio} if audio else {}
    if args.realtime:
        given["real_time"] = True
    if args.ask is not None:  # text, which may hold what means something in a setting
        given |= {"mode": "offline", "question": args.ask}
    return load_or_open(args.source, InferRecipe, overrides, "infer", given)
