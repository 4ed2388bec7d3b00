"""`soundflow evaluate recipe.yaml` and `soundflow evaluate --compare A B`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.table import Table

from inference.evaluate.compare import TaskComparison, compare, label
from inference.evaluate.recipe import EvaluateRecipe
from inference.evaluate.report.comparison import write_comparison
from inference.evaluate.results import (
    COMPARISON_FILE,
    OUTCOMES_FOLDER,
    RECIPE_FILE,
    REPORT_FILE,
    RESULTS_FILE,
    ROWS_FOLDER,
    Results,
    TaskResults,
)
from inference.evaluate.statistics.figures import Figure
from inference.evaluate.store import Part
from inference.evaluate.task import MODEL
from inference.evaluate.timing.results import TimingResults
from soundflow.commands.progress import stages
from soundflow.config.load import load
from soundflow.config.record import to_plain
from soundflow.errors import UserError
from soundflow.logs import OUT
from soundflow.model.facts import CALIBRATION_FILE
from soundflow.output import Output, claim

COLUMNS = {
    "recall": "recall",
    "precision": "precision",
    "false_per_hour": "false/h",
    "latency_p50_s": "p50 s",
    "reply_exact": "exact",
}
# What may change between two runs of one evaluation: outcomes stay valid or carry another key.
FREE = ("output", "report", "streams_at_once", "write_calibration")


def run(args: argparse.Namespace) -> None:
    if args.compare:
        _compare(args)
        return
    if args.recipe is None:
        raise UserError("no recipe was named", "soundflow evaluate RECIPE, or --compare A B")
    recipe = load(args.recipe, EvaluateRecipe, args.overrides, command="evaluate")
    part = Part(*args.part)
    claim(recipe.output, output_of(recipe), replace=args.replace)
    from inference.evaluate.run import evaluate
    from soundflow.convert.engine import open_engine

    with stages() as tell:
        results = evaluate(recipe, open_engine=open_engine, part=part, progress=tell)
    if results is None:
        OUT.print("this part is done; others are not: the last one to finish writes the results")
        return
    if args.json:
        print(json.dumps(results.to_json(), indent=1))
        return
    show(results)
    OUT.print(f"report: {recipe.output / REPORT_FILE}", soft_wrap=True)


def output_of(recipe: EvaluateRecipe) -> Output:
    """The `Output` of an evaluation with this recipe."""
    settings = {k: v for k, v in to_plain(recipe).items() if k not in FREE}
    names = (
        OUTCOMES_FOLDER, ROWS_FOLDER, RESULTS_FILE, REPORT_FILE, RECIPE_FILE, CALIBRATION_FILE,
        COMPARISON_FILE,
    )  # fmt: skip
    return Output("evaluate", settings, names, kept=(OUTCOMES_FOLDER,), results=RESULTS_FILE)


def show(results: Results) -> None:
    """The headline of every task; all intervals are in results.json and the report."""
    if results.timing is not None:
        _show_timing(results.timing)
    for task in results.tasks:
        _show_task(task)
    found = results.provenance
    OUT.print(f"threshold {found.threshold:.3f}, {found.threshold_from}", soft_wrap=True)
    for note in results.notes:
        OUT.print(f"note: {note}", style="yellow", soft_wrap=True)


def _show_timing(timing: TimingResults) -> None:
    table = _table(
        f"{timing.n_streams} held-out streams, replies within {timing.headline_window_s:g} s of "
        "t_ready",
        ["system", "F1 (95 %)", *COLUMNS.values()],
    )
    for name, metrics in timing.headline.items():
        table.add_row(name, _interval(metrics["f1"]), *(_value(metrics[c]) for c in COLUMNS))
    OUT.print(table)
    for point in timing.points:
        said = point.refusal or (
            f"recall {_interval(point.recall)}, measured {_interval(point.false_per_hour)} an hour"
        )
        OUT.print(f"at {point.budget:g} false triggers an hour: {said}", soft_wrap=True)
    for length in timing.stability:
        OUT.print(
            f"streams of {length.label}: F1 {_interval(length.metrics['f1'])}, "
            f"{_interval(length.retained)} of that one by one",
            soft_wrap=True,
        )
    if timing.failures:
        failed = f"failed streams: {len(timing.failures)}, the first: {timing.failures[0]}"
        OUT.print(failed, style="red", soft_wrap=True)
    if timing.n_offline:
        OUT.print(f"{timing.n_offline} offline samples are for benchmarks.offline_samples")
    agreement = timing.agreement
    OUT.print(
        f"{agreement.same} of {agreement.sessions} live sessions gave the same replies as "
        f"decoding many streams at once; {agreement.flips} decisions differed",
        soft_wrap=True,
    )


def _show_task(task: TaskResults) -> None:
    table = _table(f"{task.title}: {task.n_items} items", ["figure", *task.systems])
    for name in task.systems[MODEL].figures:
        cells = (_interval(summary.figures[name]) for summary in task.systems.values())
        table.add_row(name.replace("_", " "), *cells)
    OUT.print(table)
    for warning in task.systems[MODEL].warnings:
        OUT.print(warning, style="red", soft_wrap=True, markup=False)
    if task.failures:
        failed = f"failed items: {len(task.failures)}, the first: {task.failures[0]}"
        OUT.print(failed, style="red", soft_wrap=True)


def _compare(args: argparse.Namespace) -> None:
    first, second = Path(args.compare[0]), Path(args.compare[1])
    found = compare(first, second)
    path = second / COMPARISON_FILE
    names = (label(first), label(second))
    write_comparison(path, names, found)
    if args.json:
        print(json.dumps([task.to_json() for task in found], indent=1))
        return
    for letter, name in zip("AB", names, strict=True):
        OUT.print(f"{letter}: {name}", soft_wrap=True)
    for task in found:
        _show_comparison(task)
    OUT.print(f"report: {path}", soft_wrap=True)


def _show_comparison(task: TaskComparison) -> None:
    title = f"{task.title}: {task.n_items} items"
    table = _table(title, ["figure", "A", "B", "B - A (95 %)", "p", ""])
    for d in task.shown:
        p = "–" if d.p is None else f"{d.p:.3f}"
        name = d.name.replace("_", " ")
        cells = (_value(d.first), _value(d.second), _interval(d.difference), p, d.verdict)
        table.add_row(name, *cells)
    OUT.print(table)
    if task.mcnemar is not None:
        m = task.mcnemar
        OUT.print(
            f"right in A only: {m.only_first}, in B only: {m.only_second}, of {m.n}; McNemar p "
            + ("–" if m.p is None else f"{m.p:.3g}")
        )


def _table(title: str, columns: Sequence[str]) -> Table:
    """A table of figures that fits into 80 columns; the first column names them."""
    table = Table(
        title=f"\n{title}", title_justify="left", box=SIMPLE_HEAD, show_edge=False, pad_edge=False,
        padding=(0, 1, 0, 0),
    )  # fmt: skip
    for k, column in enumerate(columns):
        table.add_column(column, justify="right" if k else "left")
    return table


def _value(figure: Figure) -> str:
    return "–" if figure.value is None else _number(figure.value)


def _number(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.2f}"


def _interval(figure: Figure) -> str:
    if figure.low is None or figure.high is None:
        return _value(figure)
    return f"{_value(figure)} ({_number(figure.low)}–{_number(figure.high)})"
