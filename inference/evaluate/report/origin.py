"""Where a checkpoint comes from: the metrics of its training and the summary of its data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from inference.evaluate.recipe import EvaluateRecipe
from soundflow.errors import UserError
from soundflow.report.markup import number, table
from soundflow.report.page import Section
from soundflow.stored_json import finished_lines

METRICS_FILE = "metrics.jsonl"
SUMMARY_FILE = "summary.json"


@dataclass(frozen=True)
class Origin:
    """The files about training and data; None where there is none."""

    training_metrics: Path | None
    data_summary: Path | None


def find_origin(recipe: EvaluateRecipe) -> Origin:
    """The files that the recipe names, or those at their usual places if they are there.

    Raises:
        UserError: if one is named but missing.
    """
    asked = recipe.report
    data = recipe.timing.data if recipe.timing else recipe.output
    if not isinstance(data, Path):  # a store: only shards are read from there
        data = recipe.output
    return Origin(
        _found(asked.training_metrics, recipe.checkpoint.parent / METRICS_FILE, "training_metrics"),
        _found(asked.data_summary, data / SUMMARY_FILE, "data_summary"),
    )


def _found(named: Path | None, usual: Path, key: str) -> Path | None:
    if named is None:
        return usual if usual.is_file() else None
    if not named.is_file():
        raise UserError(f"report.{key}: {named}: no such file", f"leave it out to take {usual}")
    return named


def metrics_of(path: Path | None) -> list[dict[str, Any]]:
    """The rows of the metrics of a run; none where there is no such file."""
    return [] if path is None else [json.loads(line) for line in finished_lines(path)]


def data_section(path: Path | None) -> list[Section]:
    """The splits of a build from its ``summary.json``; nothing where there is none."""
    if path is None:
        return []
    try:
        summary = json.loads(path.read_bytes())
        rows = [[name, *_split_cells(split)] for name, split in summary["splits"].items()]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        # The figures of an evaluation are worth more than this section.
        return [Section("data", "Data", f"{path}: cannot be read ({error!r}).", Markup())]
    head = ["split", "streams", "hours", "events", "responses", "silences", "abilities"]
    drops = summary.get("drops") or {}
    dropped = ", ".join(f"{reason}: {n}" for reason, n in drops.items()) or "nothing"
    lead = f"{summary['clips']:,} clips; dropped: {dropped}."
    return [Section("data", "Data", lead, table(head, rows))]


def _split_cells(split: Mapping[str, Any]) -> list[str]:
    abilities = ", ".join(
        f"{name.split('/')[-1].replace('_', ' ')} {n}" for name, n in split["abilities"].items()
    )
    counts = [f"{split[key]:,}" for key in ("events", "replies", "silences")]
    return [f"{split['streams']:,}", number(split["hours"]), *counts, abilities]
