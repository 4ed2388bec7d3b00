"""`soundflow audit DATA`: of a build, or of published conversations."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import field
from pathlib import Path
from typing import Any, cast

from omegaconf import OmegaConf
from pydantic.dataclasses import dataclass
from rich.table import Table
from rich.text import Text

from data_build.audit.audit import (
    Scorecard,
    audit,
    build_measures,
    built_split,
    finished_splits,
    published_measures,
)
from data_build.audit.limits import AuditLimits
from data_build.audit.published import published_splits
from data_build.audit.recognised import Recognisers
from data_build.recipe import BuildRecipe
from data_build.speech.setup import SpeechConfig, make_asr_models, second_aligners
from data_build.tokenize import read_vocabulary
from soundflow.commands.progress import stages
from soundflow.config.load import build, changed, load, tree_of
from soundflow.config.settings import SETTINGS
from soundflow.errors import UserError
from soundflow.logs import OUT
from soundflow.shards.address import Url, open_address
from soundflow.shards.store import store_of

RECIPE = "recipe.yaml"  # written by the build beside its splits
Tell = Callable[[str, int, int], None]


def run(args: argparse.Namespace) -> None:
    data = open_address(args.data)
    with stages() as tell:
        if isinstance(data, Path) and not finished_splits(data):
            card = _of_published(data, args.overrides, tell)
        else:
            card = _of_build(data, _recipe(data, args.overrides), tell)
    if args.json:
        print(json.dumps(card.to_json(), indent=1))
    else:
        show(card)
    if card.missed:
        raise UserError(
            f"{data}: beyond the limit: {', '.join(card.missed)}",
            "the examples name the streams; a limit is set by audit.KEY=SHARE",
        )
    if not args.json:
        OUT.print("every figure with a limit keeps it")


@dataclass(frozen=True, config=SETTINGS)
class PublishedAudit:
    """Settings for conversations that no recipe of ours made; as in a recipe."""

    audit: AuditLimits = field(default_factory=AuditLimits)
    speech: SpeechConfig = field(default_factory=lambda: SpeechConfig(asr_models={}))


def _recipe(data: Path | Url, overrides: list[str]) -> BuildRecipe:
    """The recipe of a build, in it or beside the split."""
    if isinstance(data, Url):
        where, text = str(data / RECIPE), store_of(data).read(RECIPE).decode()
        tree = cast(dict[str, Any], OmegaConf.to_container(OmegaConf.create(text)))
        return build(BuildRecipe, changed(tree, overrides, where), where)
    path = next((p for p in (data / RECIPE, data.parent / RECIPE) if p.is_file()), None)
    if path is None:
        raise UserError(f"{data}: has no {RECIPE}", "name the output folder of a build")
    return load(path, BuildRecipe, overrides)


def _of_build(data: Path | Url, recipe: BuildRecipe, tell: Tell) -> Scorecard:
    vocabulary = read_vocabulary(recipe.vocabulary, recipe.stream)
    recognisers = _recognisers(recipe.speech)
    taken = build_measures(recipe.audit, recipe.intervention_policy(), vocabulary, recognisers)
    folders: Sequence[Path | Url]
    if isinstance(data, Url):  # a store need not be able to list its splits
        folders = [data / name for name in sorted(recipe.splits)]
    else:
        folders = finished_splits(data)
    return audit(str(data), map(built_split, folders), taken, recipe.audit.sampled, tell)


def _of_published(data: Path, overrides: list[str], tell: Tell) -> Scorecard:
    settings = build(PublishedAudit, tree_of(overrides, "audit"), "audit")
    splits = published_splits(data, read_vocabulary("tiny").spec)
    taken = published_measures(settings.audit, _recognisers(settings.speech))
    return audit(str(data), splits, taken, settings.audit.sampled, tell)


def _recognisers(speech: SpeechConfig) -> Recognisers:
    return Recognisers(make_asr_models(speech), second_aligners(speech))


def show(card: Scorecard) -> None:
    """The scorecard as tables, what has a limit first, and the streams behind what failed."""
    counts = ", ".join(f"{split} {n:,}" for split, n in card.streams.items())
    told = Table("figure", "value", "of", title="for information", title_justify="left")
    limited = Table(
        "figure", "value", "limit", "", "of",
        title=f"audit of {card.data} ({counts})", title_justify="left",
    )  # fmt: skip
    for figure in card.figures:
        if figure.limit is None:
            told.add_row(figure.name, figure.shown, figure.of)
            continue
        value = Text(figure.shown, "" if figure.passed else "bold red")
        limited.add_row(figure.name, value, figure.limit.words, figure.verdict, figure.of)
    OUT.print(limited)
    OUT.print(told)
    for figure in card.figures:
        for example in figure.examples:
            OUT.print(f"  {figure.name}: {example}", soft_wrap=True, markup=False)
