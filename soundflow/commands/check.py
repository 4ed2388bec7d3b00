"""`soundflow check recipe.yaml`: resolve everything, print the plan, start nothing."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from soundflow.config.load import build, read_tree
from soundflow.config.record import to_plain
from soundflow.errors import UserError, nearest
from soundflow.logs import OUT

Plan = dict[str, str]


def run(args: argparse.Namespace) -> None:
    path = Path(args.recipe)
    tree = read_tree(path, args.overrides)
    recipe, plan = _resolve(path, tree)
    if args.json:
        print(json.dumps({"recipe": to_plain(recipe), "plan": plan}, indent=1))
        return
    OUT.print(OmegaConf.to_yaml(OmegaConf.create(to_plain(recipe))), markup=False)
    for what, how_much in plan.items():
        OUT.print(f"[bold]{what:>12}[/]  {how_much}")


def _resolve(path: Path, tree: dict[str, Any]) -> tuple[Any, Plan]:
    planners = {"build-data": _build, "train": _train, "infer": _infer, "evaluate": _evaluate}
    command = tree.pop("command", None)
    if command not in planners:
        close = nearest(str(command), planners)
        tail = f"did you mean {close!r}?" if close else f"known: {', '.join(planners)}"
        raise UserError(f"{path}: command: {command!r} is not a command; {tail}", "name one")
    return planners[command](tree, str(path))


def _build(tree: dict[str, Any], where: str) -> tuple[Any, Plan]:
    from data_build.processes import n_workers
    from data_build.recipe import BuildRecipe

    recipe = build(BuildRecipe, tree, where)
    longest_s = recipe.compose.max_chunks * recipe.stream.chunk_s
    plan = {"output": recipe.output, "vocabulary": _vocabulary(recipe.vocabulary)}
    for source in recipe.sources:
        plan[source.corpus] = _present(Path(source.root))
    for name, split in recipe.splits.items():
        shards = -(-split.streams // recipe.streams_per_shard)
        hours = split.streams * longest_s / 3600
        plan[name] = f"{split.streams} streams in {shards} shards, at most {hours:.2f} h"
    plan["workers"] = str(n_workers(recipe.workers))
    return recipe, plan


def _train(tree: dict[str, Any], where: str) -> tuple[Any, Plan]:
    from soundflow.data.datamodule import StreamData
    from soundflow.text.presets import load_vocabulary
    from soundflow.train.machine import unmet
    from soundflow.train.recipe import TrainRecipe
    from soundflow.train.run import parameter_count

    recipe = build(TrainRecipe, tree, where)
    streams = recipe.optim.updates * recipe.data.global_batch_size
    parameters = f"those of {recipe.start_from}: not there yet"
    lacking: list[str] = []
    if recipe.start_from is None or recipe.start_from.is_dir():
        count = parameter_count(recipe, load_vocabulary(recipe.vocabulary)[1])
        parameters, lacking = f"{count / 1e6:.1f} M", unmet(recipe, count)
    plan = {
        "output": str(recipe.output),
        "parameters": parameters,
        "updates": f"{recipe.optim.updates} of {recipe.data.global_batch_size} streams",
        "device": f"{recipe.compute.accelerator}, {recipe.compute.precision}",
    }
    folder = recipe.data.folder
    if (folder / recipe.data.train / "index.json").is_file():
        n = len(StreamData(recipe.data, recipe.seed, recipe.optim.updates).train_shards)
        plan["data"] = f"{folder}: {n} streams, {streams / n:.1f} epochs"
    else:
        plan["data"] = f"{folder}: not built yet"
    if lacking:
        plan["this machine"] = "; ".join(lacking)
    return recipe, plan


def _infer(tree: dict[str, Any], where: str) -> tuple[Any, Plan]:
    from inference.recipe import InferRecipe

    recipe = build(InferRecipe, tree, where)
    return recipe, {"checkpoint": _present(recipe.checkpoint)}


def _evaluate(tree: dict[str, Any], where: str) -> tuple[Any, Plan]:
    from inference.evaluate.recipe import EvaluateRecipe

    recipe = build(EvaluateRecipe, tree, where)
    return recipe, {
        "checkpoint": _present(recipe.checkpoint),
        "data": _present(recipe.data),
        "output": str(recipe.output),
    }


def _vocabulary(name: str) -> str:
    from soundflow.text.presets import load_vocabulary

    if name != "tiny" and not Path(name).exists():
        return f"{name}: not there yet"
    return f"{name}, {load_vocabulary(name)[1].vocab_size} ids"


def _present(path: Path) -> str:
    return f"{path}" + ("" if path.exists() else ": not there yet")
