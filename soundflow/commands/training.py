"""A training run or a chain of them, and what is shown of it.

Here the engine is handed to the trainer as a callable.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.table import Table

from soundflow.commands.live_validation import live_validation
from soundflow.commands.training_report import write_training_report
from soundflow.config.record import to_plain
from soundflow.errors import Stopped, UserError
from soundflow.logs import ERR, OUT
from soundflow.train.claim import REPORT_FILE
from soundflow.train.held_out import TASK
from soundflow.train.launch import by_launcher, for_next_stage
from soundflow.train.metrics import FILE_NAME as METRICS_FILE
from soundflow.train.metrics import read_metrics
from soundflow.train.ranks import is_first, wait_for_first
from soundflow.train.recipe import TrainRecipe
from soundflow.train.run import TrainResult
from soundflow.train.run import run as train

SEEN_S = 120.0
_STAGE = "SOUNDFLOW_STAGE"  # of a chain, for the processes that the first one starts


def train_all(
    recipes: Sequence[TrainRecipe], environment: Mapping[str, str], as_json: bool
) -> None:
    """Trains what a recipe names, one stage after another.

    Args:
        recipes: of the stages of a chain, or one.
        environment: of this command, before a launcher of processes adds to it.
    """
    started = not is_first() and not by_launcher(environment)
    here = int(environment[_STAGE]) if started else 1
    for number, recipe in enumerate(recipes[here - 1 :], here):
        if len(recipes) > 1 and is_first():
            ERR.print(f"stage {number} of {len(recipes)}: {recipe.output}", soft_wrap=True)
        os.environ[_STAGE] = str(number)
        result = _train(recipe)
        last = number == len(recipes)
        if result is None or started:
            return
        if is_first():
            if result.precision is None and not last:
                ERR.print(f"finished: {result.model_folder}", soft_wrap=True)
            else:
                _tell(recipe, result, as_json)
        if last:
            return
        wait_for_first()  # it has written the model
        _require_seen(result.model_folder)
        if result.precision is not None:
            # The next stage begins in a new process: no memory, no device, no group of processes
            # of this one is left, and a signal still finds one process.
            sys.stdout.flush()
            command = [sys.executable, "-m", "soundflow.cli", *sys.argv[1:]]
            os.execve(sys.executable, command, for_next_stage(environment))


def _train(recipe: TrainRecipe) -> TrainResult | None:
    """Trains. None where the run was stopped and the first process says so: all are leaving."""
    try:
        return train(recipe, live_validation(recipe), write_training_report)
    except Stopped:
        if is_first():
            if (recipe.output / METRICS_FILE).exists():
                write_training_report(recipe.output)
            raise
    return None


def _tell(recipe: TrainRecipe, result: TrainResult, as_json: bool) -> None:
    if result.precision is not None or not (recipe.output / REPORT_FILE).exists():
        write_training_report(recipe.output)
    if as_json:
        print(json.dumps(to_plain(asdict(result)), indent=1))
    else:
        show(result)


def _require_seen(model: Path) -> None:
    """A shared file system may show a folder to another machine some time after it was written."""
    deadline = time.monotonic() + SEEN_S
    while not model.is_dir():
        if time.monotonic() > deadline:
            raise UserError(
                f"{model}: was written, but is not there on this machine",
                "name an output on a file system that all nodes share",
            )
        time.sleep(0.5)


# The metrics of metrics.jsonl that show whether the model learns; absent ones are left out.
COLUMNS = {
    "loss": "\nloss",
    "loss_stream": "loss\nstream",
    "loss_reply": "loss\nreply",
    "decision_f1": "decision\nF1",
    "event_f1": "live\nF1",
    "event_reply_exact": "reply\nexact",
    "event_reply_wer": "reply\nWER",
    "event_false_per_hour": "false\nper h",
    "event_threshold": "speaks\nfrom p",
}
# The timing of the last validation, decoded live at the threshold that was chosen.
TIMING = {
    "event_wanted": "\nevents",
    "event_hits": "\nanswered",
    "event_misses": "\nmissed",
    "event_false": "\nfalse",
    "event_repeats": "of these\nrepeated",
    "event_early_share": "early\nshare",
    "event_latency_p50_s": "latency\np50 s",
    "event_latency_p90_s": "\np90 s",
    "event_latency_p95_s": "\np95 s",
}


def show(result: TrainResult) -> None:
    """Shows every validation on the held-out streams, then the result."""
    rows = [row for row in read_metrics(result.metrics_file) if "valid/decision_accuracy" in row]
    named = [n for n in COLUMNS if any(f"valid/{n}" in row for row in rows)]
    table = _table("held-out streams", ["\nupdate", *(COLUMNS[n] for n in named)])
    for row in rows:
        values = (row.get(f"valid/{name}") for name in named)
        table.add_row(str(row["update"]), *("" if v is None else f"{v:.2f}" for v in values))
    if rows:
        OUT.print(table)
        _show_last(rows[-1])
    OUT.print(f"{result.parameters / 1e6:.1f} M parameters, {_how_it_went(result)}")
    report = result.metrics_file.with_name(REPORT_FILE)
    OUT.print(f"checkpoint: {result.model_folder}\nreport: {report}", soft_wrap=True)


def _show_last(row: Mapping[str, float]) -> None:
    """The timing of a validation, and its loss parts by task."""
    timing = {title: row[f"valid/{key}"] for key, title in TIMING.items() if f"valid/{key}" in row}
    if timing:
        table = _table(f"timing at update {row['update']}", list(timing))
        table.add_row(*(f"{value:.4g}" for value in timing.values()))
        OUT.print(table)
    if failed := row.get("valid/event_failures"):
        OUT.print(f"held-out streams that could not be decoded: {failed:.0f}; the log says why")
    prefix = f"valid/{TASK}"
    parts = {k.removeprefix(prefix): v for k, v in row.items() if k.startswith(prefix)}
    tasks = sorted({name.rsplit("/", 1)[0] for name in parts})
    if len(tasks) > 1:
        columns = ("loss_stream", "loss_reply")
        table = _table("held-out loss by task", ["\ntask", *(COLUMNS[c] for c in columns)])
        for task in tasks:
            cells = (parts.get(f"{task}/{c}") for c in columns)
            table.add_row(task, *("" if v is None else f"{v:.3f}" for v in cells))
        OUT.print(table)


def _table(title: str, columns: Sequence[str]) -> Table:
    """A table of figures that fits into 80 columns, with titles of two lines."""
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    return table


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
