"""`soundflow train recipe.yaml`. Here the engine is handed to the trainer as a callable."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from lightning.pytorch.utilities import rank_zero_only
from rich.table import Table

from soundflow.commands.listening import held_out_listener
from soundflow.config.load import load
from soundflow.config.record import to_plain
from soundflow.logs import OUT
from soundflow.train.metrics import read_metrics
from soundflow.train.recipe import TrainRecipe
from soundflow.train.run import TrainResult
from soundflow.train.run import run as train


def run(args: argparse.Namespace) -> None:
    recipe = load(args.recipe, TrainRecipe, args.overrides, command="train")
    result = train(recipe, held_out_listener(recipe))
    if rank_zero_only.rank:  # type: ignore[attr-defined]
        return  # one of several processes speaks for the run
    if args.json:
        print(json.dumps(to_plain(asdict(result)), indent=1))
    else:
        show(result)


# Of everything in metrics.jsonl, what tells a person whether it learns; absent ones are left out.
COLUMNS = {
    "loss": "loss",
    "loss_stream": "L_stream",
    "loss_reply": "L_LM",
    "decision_accuracy": "decided",
    "reply_token_accuracy": "tokens",
    "event_f1": "F1",
    "event_reply_exact": "exact",
    "event_false_per_hour": "false/h",
}


def show(result: TrainResult) -> None:
    """How the run went: every look at the held-out streams, then the result."""
    rows = [row for row in read_metrics(result.metrics_file) if "valid/decision_accuracy" in row]
    named = [n for n in COLUMNS if any(f"valid/{n}" in row for row in rows)]
    table = Table(title="held-out streams", title_justify="left")
    for title in ("update", *(COLUMNS[n] for n in named)):
        table.add_column(title, justify="right")
    for row in rows:
        values = (row.get(f"valid/{name}") for name in named)
        table.add_row(str(row["update"]), *("" if v is None else f"{v:.2f}" for v in values))
    OUT.print(table)
    OUT.print(
        f"{result.parameters / 1e6:.1f} M parameters, {result.updates} updates in "
        f"{result.seconds:.0f} s on {result.threads} thread(s)"
        + (f", resumed at {result.resumed_at}" if result.resumed_at else "")
        + f"\ncheckpoint: {result.model_folder}\ncurves: {result.metrics_file}"
    )
