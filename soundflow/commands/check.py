"""`soundflow check recipe.yaml`: resolve everything, print the plan, start nothing."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf
from rich.filesize import decimal

from soundflow.config.load import build, read_tree
from soundflow.config.record import to_plain
from soundflow.errors import UserError, did_you_mean
from soundflow.logs import OUT
from soundflow.output import examined
from soundflow.shards.address import Url, is_missing

if TYPE_CHECKING:
    from data_build.collect.collect import Collected
    from data_build.expected_length import Kind
    from data_build.recipe import BuildRecipe
    from data_build.scenes.config import ScenesConfig

Plan = dict[str, str]
_REASONS = 3  # shown, of those for which rows are dropped


def run(args: argparse.Namespace) -> None:
    path = Path(args.recipe)
    tree = read_tree(path, args.overrides)
    recipe, plan = _resolve(path, tree, args.probe)
    if args.json:
        print(json.dumps({"recipe": to_plain(recipe), "plan": plan}, indent=1))
        return
    width = max(map(len, plan))
    for what, how_much in plan.items():
        OUT.print(f"{what:>{width}}  {how_much}", soft_wrap=True)
    if args.all:
        OUT.print("\n" + OmegaConf.to_yaml(OmegaConf.create(to_plain(recipe))))
    else:
        OUT.print("\n--all shows every setting", style="dim")


def _resolve(path: Path, tree: dict[str, Any], probe: bool) -> tuple[Any, Plan]:
    planners: dict[str, Callable[[dict[str, Any], str], tuple[Any, Plan]]] = {
        "build-data": _build,
        "train": partial(_train, probe=probe),
        "infer": _infer,
        "serve": _serve,
        "evaluate": _evaluate,
    }
    command = tree.pop("command", None)
    if not isinstance(command, str) or command not in planners:
        fault = "is missing" if command is None else f"{command!r} is not a command"
        raise UserError(
            f"{path}: command: {fault}; {did_you_mean(str(command), planners)}",
            "name the command at the top of the recipe, for example `command: train`",
        )
    if probe and command != "train":
        raise UserError(f"{path}: --probe is of training", "leave it out")
    recipe, plan = planners[command](tree, str(path))
    return recipe, {"command": f"soundflow {command}", **plan}


def _build(tree: dict[str, Any], where: str) -> tuple[Any, Plan]:
    from data_build.collect.feasible import require_speech
    from data_build.processes import n_workers
    from data_build.recipe import BuildRecipe
    from soundflow.commands.build_data import output_of

    recipe = build(BuildRecipe, tree, where)
    chunk_s = recipe.stream.chunk_s
    longest_s = recipe.compose.max_chunks * chunk_s
    plan = {
        "output": examined(Path(recipe.output), lambda: output_of(recipe)),
        "vocabulary": _vocabulary(recipe.vocabulary),
        "stream": f"chunks of {chunk_s:g} s, at most {longest_s:g} s",
    }
    for number, source in enumerate(recipe.sources):
        plan[f"sources[{number}]"] = f"{source.corpus} in {_input(Path(source.root))}"
    for number, texts in enumerate(recipe.texts):
        plan[f"texts[{number}]"] = _input(Path(texts))
    if recipe.scenes.tagger or recipe.scenes.sentence_encoder:
        plan["scenes"] = _scene_models(recipe.scenes)
    require_speech(recipe)
    if all(Path(name).exists() for name in (*(s.root for s in recipe.sources), *recipe.texts)):
        found = _survey(recipe)
        plan |= _material(found) | _sizes(recipe, found.lengths_s)
    else:
        plan |= _sizes(recipe, {})
    workers, cores = n_workers(recipe.workers), n_workers(0)
    beyond = f": more than the {cores} cores here, which makes it slower" if workers > cores else ""
    plan["workers"] = f"{workers}{beyond}"
    return recipe, plan


def _sizes(recipe: BuildRecipe, lengths_s: Mapping[Kind, float]) -> Plan:
    """What each split will hold: stated, or estimated from the settings and marked so.

    Args:
        lengths_s: mean length of the items of the material, by kind, where it is known.
    """
    from data_build.expected_length import BYTES_PER_HOUR, expected_stream_s, expected_streams

    plan = {}
    for name, split in recipe.splits.items():
        stream_s = expected_stream_s(recipe, name, lengths_s)
        streams = expected_streams(recipe, name, lengths_s)
        shards = -(-streams // recipe.streams_per_shard)
        hours = split.hours or streams * stream_s / 3600
        disk = f"about {decimal(round(hours * BYTES_PER_HOUR))} of disk"
        plan[f"split {name}"] = (
            f"{split.hours:g} h: about {streams:,} streams of {stream_s:.0f} s, in about "
            f"{shards:,} shards; {disk}"
            if split.hours
            else f"{streams:,} streams in {shards:,} shards; about {hours:.2g} h, {disk}"
        )
    return plan


def _survey(recipe: BuildRecipe) -> Collected:
    """What the sources and texts give, read and dealt to splits as the build will do it.

    Raises:
        UserError: if the tasks of the recipe cannot be built from it.
    """
    from data_build.collect.collect import survey
    from data_build.collect.feasible import REMEDY
    from data_build.context import MATERIAL

    found = survey(recipe, Path(recipe.output) / MATERIAL)
    if found.problems:
        hint = REMEDY
        if found.drops:
            hint = f"rows: {_dropped(found)}; the first: {found.drops[0].item}"
        raise UserError("\n".join(found.problems), hint)
    return found


def _material(found: Collected) -> Plan:
    plan = {"material": f"{found.clips:,} rows; {_dropped(found)}"}
    if found.missing:
        plan["no recording for"] = ", ".join(found.missing)
    return plan | {f"note {n}": note for n, note in enumerate(found.notes, 1)}


def _dropped(found: Collected) -> str:
    from data_build.drops import count_drops

    counts = list(count_drops(found.drops).items())
    most = "; ".join(f"{reason} ({n:,})" for reason, n in counts[:_REASONS])
    more = f"; {len(counts) - _REASONS} other reasons" if len(counts) > _REASONS else ""
    return f"{len(found.drops):,} dropped" + (f": {most}{more}" if most else "")


def _train(tree: dict[str, Any], where: str, probe: bool) -> tuple[Any, Plan]:
    """The plan of a run, or of each stage of a chain of them."""
    from soundflow.train.chain import is_chain, stage_recipes
    from soundflow.train.recipe import TrainRecipe

    chain = is_chain(tree)
    recipes = stage_recipes(tree, Path(where)) if chain else [build(TrainRecipe, tree, where)]
    from soundflow.commands.training_plan import training_plan
    from soundflow.train.start import model_config, open_origin

    if not chain:
        return recipes[0], training_plan(recipes[0], probe)
    first, sizes = recipes[0], None
    if first.start_from is None or first.start_from.is_dir():
        sizes = model_config(first, open_origin(first))  # all stages train one model
    plans = [(r.output.name, training_plan(r, probe, sizes)) for r in recipes]
    return recipes, {f"{name} {key}": value for name, plan in plans for key, value in plan.items()}


def _infer(tree: dict[str, Any], where: str) -> tuple[Any, Plan]:
    from inference.infer.recipe import InferRecipe

    recipe = build(InferRecipe, tree, where)
    return recipe, {
        "checkpoint": _present(recipe.checkpoint),
        "audio": ", ".join(recipe.audio) or "none: name recordings on the command line",
        "device": f"{recipe.device}, {recipe.precision}",
    }


def _serve(tree: dict[str, Any], where: str) -> tuple[Any, Plan]:
    from inference.serve.recipe import ServeRecipe

    recipe = build(ServeRecipe, tree, where)
    who = "this machine only" if recipe.is_local else "other machines too, with a token"
    limits = recipe.limits
    return recipe, {
        "checkpoint": _input(recipe.checkpoint),
        "address": f"{recipe.host}:{recipe.port}, {who}",
        "limits": f"{limits.sessions} sessions, each at most {limits.session_s / 3600:g} h",
    }


def _evaluate(tree: dict[str, Any], where: str) -> tuple[Any, Plan]:
    from inference.evaluate.recipe import EvaluateRecipe
    from soundflow.commands.evaluate import output_of

    recipe = build(EvaluateRecipe, tree, where)
    plan = {
        "output": examined(recipe.output, lambda: output_of(recipe)),
        "checkpoint": _present(recipe.checkpoint),
        "device": f"{recipe.device}, {recipe.precision}",
    }
    if (timing := recipe.timing) is not None:
        at_most = f"at most {timing.max_streams} streams of " if timing.max_streams else ""
        on = timing.calibrate_on
        plan["timing"] = at_most + _present(timing.data / timing.split)
        plan["threshold"] = (
            f"{f'chosen on {on}' if on else 'from the checkpoint'}; "
            f"{len(timing.thresholds)} thresholds for the curve"
        )
        if timing.negatives is not None:
            plan["negatives"] = _present(timing.negatives / timing.split)
    if recipe.benchmarks is not None:
        for name, data in recipe.benchmarks.named().items():
            absent = "" if Path(data).exists() else ": a hub id, or does not exist yet"
            plan[name.replace("_", " ")] = f"{data}{absent}"
    for name, system in recipe.systems.items():
        plan[name] = f"{system.model} at {system.url}, in real time, {system.at_once} at once"
    return recipe, plan


def _vocabulary(name: str) -> str:
    from soundflow.text.presets import load_vocabulary

    if name != "tiny" and not Path(name).exists():
        return f"{name}: does not exist yet"
    return f"{name}, {load_vocabulary(name)[1].vocab_size:,} ids"


def _scene_models(config: ScenesConfig) -> str:
    from data_build.scenes.source import open_models

    try:
        open_models(config)
    except UserError as error:
        return f"{error.message}: {error.hint}"
    return " and ".join(name for name in (config.tagger, config.sentence_encoder) if name)


def _input(path: Path) -> str:
    """A file of the user: where a relative path is missing, this folder may be the wrong one."""
    relative = not path.exists() and not path.is_absolute()
    return _present(path) + (f", seen from {Path.cwd()}" if relative else "")


def _present(path: Path | Url) -> str:
    return f"{path}" + (": does not exist yet" if is_missing(path) else "")
