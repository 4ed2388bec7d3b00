"""Where a checkpoint comes from: the curves of its training and the summary of its data."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from inference.evaluate.recipe import EvaluateRecipe
from inference.evaluate.report.curve import COLOURS
from soundflow.errors import UserError
from soundflow.report.chart import N_COLOURS, Series, line_chart
from soundflow.report.markup import join, number, table, tag
from soundflow.report.page import Section

METRICS_FILE = "metrics.jsonl"
SUMMARY_FILE = "summary.json"

# Held-out figures between 0 and 1 that show whether the model learns.
_RATIOS = (
    "decision_accuracy", "decision_precision", "decision_recall", "decision_f1",
    "reply_token_accuracy", "event_f1", "event_recall", "event_precision", "event_reply_exact",
    "event_early_share", "event_threshold",
)  # fmt: skip

# For quantities without a colour of their own, least confusing first.
_FREE_COLOURS = (5, 7, 6, 1, 0, 3, 4, 2)


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


def training_section(path: Path | None) -> list[Section]:
    """The curves of a run from its ``metrics.jsonl``; nothing where there is none."""
    lines = [] if path is None else _json_lines(path)
    if not lines:
        return []
    losses = [k for k in _keys(lines) if k.startswith("train/loss")]
    ratios = [k for k in _keys(lines) if k.removeprefix("valid/") in _RATIOS]
    teacher = [k for k in ratios if "event_" not in k]
    live = [k for k in ratios if "event_" in k]
    by_task = [k for k in _keys(lines) if _is_loss_of_task(k)][:N_COLOURS]
    charts = [
        line_chart(_series(lines, keys), "update", unit, y_range=limits, title=title)
        for title, keys, unit, limits in (
            ("Loss", losses, "nats", None),
            ("Held-out, decoded live", live, "ratio", (0.0, 1.0)),
            ("False triggers", ["valid/event_false_per_hour"], "an hour", None),
            ("Held-out, teacher-forced", teacher, "ratio", (0.0, 1.0)),
            ("Held-out loss by task", by_task, "nats", None),
            ("Useful tokens", ["speed/tokens_per_s"], "a second", None),
            ("Waiting for data", ["speed/data_wait"], "share of time", (0.0, 1.0)),
            ("Gradient norm", ["train/grad_norm"], "", None),
            ("Peak memory of the first process", ["speed/peak_memory_gb"], "GB", None),
            ("Model FLOP utilisation", ["speed/mfu"], "share of peak", (0.0, 1.0)),
        )
        if any(key in line for key in keys for line in lines)
    ]
    lead = "Loss components and held-out metrics; false triggers only show in live decoding."
    return [Section("training", "Training", lead, tag("div", join(charts), class_="charts"))]


def _keys(lines: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(k for line in lines for k in line))


def _is_loss_of_task(key: str) -> bool:
    return key.startswith("valid/task/") and key.endswith("/loss")


def _series(lines: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> list[Series]:
    names = [_shown(k) for k in keys]
    free = [c for c in _FREE_COLOURS if c not in {COLOURS.get(n) for n in names}]
    colours = [COLOURS[n] if n in COLOURS else free.pop(0) for n in names]
    return [
        Series(
            name.replace("_", " "),
            [(float(line["update"]), float(line[key])) for line in lines if key in line],
            colour,
        )
        for name, key, colour in zip(names, keys, colours, strict=True)
    ]


def _shown(key: str) -> str:
    if _is_loss_of_task(key):
        return key.split("/", 2)[2].removesuffix("/loss")
    return key.split("/", 1)[-1].removeprefix("event_").removeprefix("decision_")


def _json_lines(path: Path) -> list[dict[str, Any]]:
    """The complete lines of a metrics file; the last one may still be being written."""
    lines = path.read_text().splitlines(keepends=True)
    return [
        json.loads(line) for line in lines if line.endswith("\n") and '"update": null' not in line
    ]


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
