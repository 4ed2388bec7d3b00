"""`soundflow evaluate recipe.yaml`."""

from __future__ import annotations

import argparse
import json

from rich.table import Table

from inference.engine import CALIBRATION_FILE
from inference.evaluate.bootstrap import Estimate
from inference.evaluate.recipe import EvaluateRecipe
from inference.evaluate.results import (
    MODEL,
    RECIPE_FILE,
    REPORT_FILE,
    RESULTS_FILE,
    TIMER,
    Results,
)
from inference.evaluate.run import evaluate, report_path
from soundflow.commands.progress import stages
from soundflow.config.load import load
from soundflow.config.record import to_plain
from soundflow.logs import OUT
from soundflow.output import Output, claim

COLUMNS = {
    "recall": "recall",
    "precision": "precision",
    "false_per_hour": "false/h",
    "latency_p50_s": "p50 s",
    "reply_exact": "exact",
}
# The oracles only prove the measure; they stand in results.json and the report.
SYSTEMS = (MODEL, "never", "always", "random", TIMER)


def run(args: argparse.Namespace) -> None:
    recipe = load(args.recipe, EvaluateRecipe, args.overrides, command="evaluate")
    claim(recipe.output, output_of(recipe), replace=args.replace)
    with stages() as tell:
        results = evaluate(recipe, progress=tell)
    if args.json:
        print(json.dumps(results.to_json(), indent=1))
        return
    show(results)
    OUT.print(f"report: {report_path(recipe)}", soft_wrap=True)


def output_of(recipe: EvaluateRecipe) -> Output:
    """The `Output` of an evaluation with this recipe."""
    free = ("output", "report", "streams_at_once")
    settings = {k: v for k, v in to_plain(recipe).items() if k not in free}
    names = (RESULTS_FILE, REPORT_FILE, RECIPE_FILE, CALIBRATION_FILE)
    return Output("evaluate", settings, names, results=RESULTS_FILE)


def show(results: Results) -> None:
    """The systems at the headline window; all intervals are in results.json and the report."""
    systems = results.headline
    table = Table(
        title=f"{results.n_streams} held-out streams, replies within "
        f"{results.headline_window_s:g} s of t_ready",
        title_justify="left",
    )
    table.add_column("system")
    table.add_column("F1 (95 %)", justify="right")
    for title in COLUMNS.values():
        table.add_column(title, justify="right")
    for name in SYSTEMS:
        metrics = systems[name]
        table.add_row(name, _interval(metrics["f1"]), *(_value(metrics[c]) for c in COLUMNS))
    OUT.print(table)
    if results.failures:
        failed = f"{len(results.failures)} streams failed: {results.failures[0]}"
        OUT.print(failed, style="red", soft_wrap=True)
    if results.n_offline:
        OUT.print(f"{results.n_offline} offline samples skipped: only streams are evaluated")
    threshold = results.calibration.threshold
    if results.calibration_path is None:
        OUT.print(f"threshold {threshold:.3f}, from the checkpoint")
    else:
        OUT.print(
            f"threshold {threshold:.3f}, calibrated on {results.calibration.split}, stored in "
            f"{results.calibration_path}",
            soft_wrap=True,
        )
    if results.stored_beside_report:
        OUT.print(
            "the checkpoint is read-only: pass the threshold to sessions: "
            f"session.threshold={threshold:.3f}",
            style="yellow",
            soft_wrap=True,
        )
    OUT.print(
        f"{results.sessions_agree} of {results.sessions} live sessions gave the same events as "
        f"batch decoding",
        soft_wrap=True,
    )


def _value(estimate: Estimate) -> str:
    return "–" if estimate.value is None else f"{estimate.value:.2f}"


def _interval(estimate: Estimate) -> str:
    if estimate.low is None or estimate.high is None:
        return _value(estimate)
    return f"{_value(estimate)} ({estimate.low:.2f}–{estimate.high:.2f})"
