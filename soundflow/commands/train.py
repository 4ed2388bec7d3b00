"""`soundflow train recipe.yaml`. Here the engine is handed to the trainer as a callable."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from lightning.pytorch.utilities import rank_zero_only
from rich.table import Table

from inference.evaluate.report_origin import training_section
from soundflow.commands.live_validation import live_validation
from soundflow.config.load import load
from soundflow.config.record import to_plain
from soundflow.errors import Stopped
from soundflow.logs import OUT
from soundflow.report.page import write_page
from soundflow.train.metrics import read_metrics
from soundflow.train.recipe import TrainRecipe
from soundflow.train.run import TrainResult
from soundflow.train.run import run as train


def run(args: argparse.Namespace) -> None:
    recipe = load(args.recipe, TrainRecipe, args.overrides, command="train")
    first = rank_zero_only.rank == 0  # type: ignore[attr-defined]
    try:
        result = train(recipe, live_validation(recipe))
    except Stopped:
        if first:
            raise
        return  # the first process of a run speaks for all of them
    if not first:
        return
    if result.precision is not None or not curves_of(result).exists():
        draw_curves(result)
    if args.json:
        print(json.dumps(to_plain(asdict(result)), indent=1))
    else:
        show(result)


# The metrics of metrics.jsonl that show whether the model learns; absent ones are left out.
COLUMNS = {
    "loss": "loss",
    "loss_stream": "loss stream",
    "loss_reply": "loss reply",
    "decision_accuracy": "decision accuracy",
    "reply_token_accuracy": "token accuracy",
    "event_f1": "F1",
    "event_reply_exact": "reply exact",
    "event_false_per_hour": "false/h",
}


def draw_curves(result: TrainResult) -> None:
    """Writes the metrics of a run as a page of curves."""
    sections = training_section(result.metrics_file)
    write_page(curves_of(result), "Training", str(result.model_folder), sections)


def curves_of(result: TrainResult) -> Path:
    return result.metrics_file.with_name("curves.html")


def show(result: TrainResult) -> None:
    """Shows every validation on the held-out streams, then the result."""
    rows = [row for row in read_metrics(result.metrics_file) if "valid/decision_accuracy" in row]
    named = [n for n in COLUMNS if any(f"valid/{n}" in row for row in rows)]
    table = Table(title="held-out streams", title_justify="left")
    for title in ("update", *(COLUMNS[n] for n in named)):
        table.add_column(title, justify="right")
    for row in rows:
        values = (row.get(f"valid/{name}") for name in named)
        table.add_row(str(row["update"]), *("" if v is None else f"{v:.2f}" for v in values))
    if rows:
        OUT.print(table)
    OUT.print(f"{result.parameters / 1e6:.1f} M parameters, {_how_it_went(result)}")
    OUT.print(f"checkpoint: {result.model_folder}\ncurves: {curves_of(result)}", soft_wrap=True)


def _how_it_went(result: TrainResult) -> str:
    if result.precision is None:
        return (
            f"all {result.updates} updates are already done. To train further: output=ANOTHER "
            f"model=null start_from={result.model_folder}"
        )
    resumed = f", resumed at {result.resumed_at + 1}" if result.resumed_at else ""
    return (
        f"{result.updates} updates in {result.seconds:.0f} s in {result.precision} on "
        f"{result.threads} thread(s) a process{resumed}"
    )
