"""`soundflow audit DATA`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any, cast

from omegaconf import OmegaConf
from rich.table import Table
from rich.text import Text

from data_build.audit.audit import Scorecard, audit, measures
from data_build.audit.measure import Figure
from data_build.recipe import BuildRecipe
from data_build.tokenize import read_vocabulary
from soundflow.commands.progress import stages
from soundflow.config.load import build, changed, load
from soundflow.errors import UserError
from soundflow.logs import OUT
from soundflow.shards.address import Url, open_address
from soundflow.shards.store import store_of

RECIPE = "recipe.yaml"  # written by the build beside its splits


def run(args: argparse.Namespace) -> None:
    data = open_address(args.data)
    recipe = _recipe(data, args.overrides)
    vocabulary = read_vocabulary(recipe.vocabulary, recipe.stream)
    taken = measures(recipe.audit, recipe.intervention_policy(), vocabulary)
    with stages() as tell:
        card = audit(data, taken, tell, sorted(recipe.splits))
    if args.json:
        print(json.dumps(card.to_json(), indent=1))
    else:
        show(card)
    missed = [figure.name for figure in card.figures if not figure.passed]
    if missed:
        raise UserError(
            f"{data}: {len(missed)} of its figures miss their limit: {', '.join(missed)}",
            "the examples name the streams; a limit is set by audit.KEY=SHARE",
        )
    if not args.json:
        OUT.print("every figure with a limit keeps it")


def show(card: Scorecard) -> None:
    """The scorecard as a table, and the streams behind what failed."""
    counts = ", ".join(f"{split} {n:,}" for split, n in card.streams.items())
    table = Table(title=f"audit of {card.data} ({counts})", title_justify="left")
    for column in ("figure", "value", "limit", "of"):
        table.add_column(column, justify="right" if column == "value" else "left")
    for figure in card.figures:
        style = "" if figure.passed else "bold red"
        table.add_row(figure.name, Text(_value(figure), style), _limit(figure), figure.of)
    OUT.print(table)
    for figure in card.figures:
        for example in figure.examples:
            OUT.print(f"  {figure.name}: {example}", soft_wrap=True, markup=False)


def _recipe(data: Path | Url, overrides: list[str]) -> BuildRecipe:
    """The recipe of a build: beside its splits."""
    if isinstance(data, Url):
        where, text = str(data / RECIPE), store_of(data).read(RECIPE).decode()
        tree = cast(dict[str, Any], OmegaConf.to_container(OmegaConf.create(text)))
        return build(BuildRecipe, changed(tree, overrides, where), where)
    path = next((p for p in (data / RECIPE, data.parent / RECIPE) if p.is_file()), None)
    if not data.exists():
        raise UserError(f"{data}: no such folder", "name the output folder of a build")
    if path is None:
        raise UserError(f"{data}: has no {RECIPE}", "name the output folder of a build")
    return load(path, BuildRecipe, overrides)


def _value(figure: Figure) -> str:
    number = f"{figure.value:g}" if figure.value == int(figure.value) else f"{figure.value:.3f}"
    return f"{number} {figure.unit}".strip()


def _limit(figure: Figure) -> str:
    if figure.limit is None:
        return ""
    words = figure.limit.kind.replace("_", " ")
    return f"{words} {figure.limit.value:g}"
