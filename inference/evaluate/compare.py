"""Two evaluations of the same items, compared item by item.

Both figures are resampled with the same draws, so the interval of their difference is that of the
paired bootstrap. Where units are right or wrong (an event was answered in time, an answer is
correct), McNemar's exact test counts those on which the two differ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from inference.evaluate.recipe import EvaluateRecipe
from inference.evaluate.results import RECIPE_FILE, RESULTS_FILE, ROWS_FOLDER
from inference.evaluate.statistics.figures import Figure, with_interval
from inference.evaluate.store import read_rows
from inference.evaluate.suite import benchmark_tasks
from inference.evaluate.task import MODEL, Task
from inference.evaluate.timing.task import TimingTask
from soundflow.config.load import load
from soundflow.errors import UserError
from soundflow.protocol.spec import StreamSpec
from soundflow.stored_json import read_object

CHANCE = 0.05


@dataclass(frozen=True)
class Difference:
    """A figure of both, and the second minus the first.

    Attributes:
        p: two-sided, of the paired bootstrap; None where the figure has no interval.
    """

    name: str
    first: Figure
    second: Figure
    difference: Figure
    p: float | None

    @property
    def verdict(self) -> str:
        """Which has more, unless that may be chance; nothing without an interval."""
        if self.p is None or self.difference.value is None:
            return ""
        if self.difference.value == 0:
            return "the same"
        if self.p >= CHANCE:
            return "may be chance"
        return "higher in B" if self.difference.value > 0 else "lower in B"


@dataclass(frozen=True)
class McNemar:
    """Units that only one of the two got right, and the exact two-sided p of such a split."""

    n: int
    only_first: int
    only_second: int
    p: float | None


@dataclass(frozen=True)
class TaskComparison:
    """One task of two evaluations."""

    title: str
    n_items: int
    differences: tuple[Difference, ...]
    mcnemar: McNemar | None

    @property
    def shown(self) -> list[Difference]:
        """The figures with an interval, and the failures; other counts are in the JSON."""
        return [d for d in self.differences if d.p is not None or d.name == "failures"]

    def to_json(self) -> dict[str, Any]:
        return {
            "title": self.title,
            "n_items": self.n_items,
            "figures": {
                d.name: {
                    "first": d.first.to_json(), "second": d.second.to_json(),
                    "difference": d.difference.to_json(), "p": d.p, "verdict": d.verdict,
                }
                for d in self.differences
            },
            "mcnemar": asdict(self.mcnemar) if self.mcnemar else None,
        }  # fmt: skip


def compare(first: Path, second: Path) -> tuple[TaskComparison, ...]:
    """Every task that both folders hold rows of.

    Args:
        first, second: outputs of `soundflow evaluate`.

    Raises:
        UserError: if one is no evaluation, they share no task, or a task has other items or rules.
    """
    found = []
    results = _results_in(first), _results_in(second)
    for task in _tasks_in(second, results[1]):
        paths = [folder / ROWS_FOLDER / f"{task.name}.jsonl" for folder in (first, second)]
        if not all(path.is_file() for path in paths):
            continue
        _require_same_rules(task.name, *results)
        found.append(compare_rows(task, *(read_rows(path, task.row_type) for path in paths)))
    if not found:
        raise UserError(f"{first} and {second} have no task in common", "evaluate the same data")
    return tuple(found)


def label(folder: Path) -> str:
    """An evaluation in a line: its folder, checkpoint and threshold."""
    results = _results_in(folder)
    return f"{folder} ({results['checkpoint']}, threshold {results['threshold']:.3f})"


def _results_in(folder: Path) -> dict[str, Any]:
    return read_object(
        folder / RESULTS_FILE, absent="run `soundflow evaluate` first", damaged="evaluate again"
    )


def _tasks_in(folder: Path, results: Mapping[str, Any]) -> list[Task[Any, Any]]:
    """The tasks of an evaluation, without their data: enough to read and to sum up rows."""
    recipe = load(folder / RECIPE_FILE, EvaluateRecipe)
    try:
        time = StreamSpec.from_json(results["spec"]).time
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{folder / RESULTS_FILE}: cannot be read", "evaluate again") from error
    tasks = benchmark_tasks(recipe.benchmarks, time)
    if recipe.timing is not None:
        tasks.insert(0, TimingTask((), time, recipe.timing.windows_s[0]))
    return tasks


def _require_same_rules(task: str, first: Mapping[str, Any], second: Mapping[str, Any]) -> None:
    """Checks that the rows of a task come from the same data, by the same rules.

    Raises:
        UserError: naming what differs.
    """
    one, other = _rules(task, first), _rules(task, second)
    if one != other:
        raise UserError(
            f"{task}: the evaluations differ in data or rules: A has {' and '.join(one - other)}; "
            f"B has {' and '.join(other - one)}",
            "evaluate both with the same recipe",
        )


def _rules(task: str, results: Mapping[str, Any]) -> set[str]:
    """What decides about the rows of the model: the signatures of its figures."""
    if task == TimingTask.name:
        timing = results["timing"]
        figures = timing["systems"][str(timing["headline_window_s"])][MODEL]
        return {f"data {timing['data_fingerprint']}", figures["f1"]["signature"]}
    figures = results["tasks"][task]["systems"][MODEL]["figures"]
    return {figure["signature"] for figure in figures.values()}


def compare_rows(
    task: Task[Any, Any], first: Mapping[str, Any], second: Mapping[str, Any]
) -> TaskComparison:
    """Rows by item.

    Raises:
        UserError: if they are not of the same items.
    """
    if first.keys() != second.keys():
        alien = sorted(first.keys() ^ second.keys())
        raise UserError(
            f"{task.name}: the evaluations are of different items: {len(alien)} are in one only, "
            f"{alien[0]} for instance",
            "evaluate both on the same data",
        )
    ones, others = list(first.values()), [second[item] for item in first]
    a, b = task.summarise(ones).figures, task.summarise(others).figures
    differences = tuple(difference(name, a[name], b[name]) for name in a if name in b)
    return TaskComparison(task.title, len(ones), differences, _mcnemar(task, ones, others))


def difference(name: str, first: Figure, second: Figure) -> Difference:
    """The second minus the first, with the interval of the paired bootstrap."""
    if first.value is None or second.value is None:
        return Difference(name, first, second, Figure(None), None)
    change, n = second.value - first.value, min(first.n, second.n)
    if first.resampled is None or second.resampled is None:
        return Difference(name, first, second, Figure(change, n), None)
    resampled = second.resampled - first.resampled
    there = resampled[np.isfinite(resampled)]
    p = None
    if there.size:
        # The share beyond zero, doubled; a bootstrap of R draws cannot show less than 1 / R.
        tail = min(float(np.mean(there <= 0)), float(np.mean(there >= 0)))
        p = min(1.0, max(2.0 * tail, 1.0 / there.size))
    return Difference(name, first, second, with_interval(change, n, resampled), p)


def _mcnemar(task: Task[Any, Any], first: Sequence[Any], second: Sequence[Any]) -> McNemar | None:
    from scipy.special import bdtr  # the binomial distribution

    pairs = [
        pair
        for one, other in zip(first, second, strict=True)
        for pair in zip(task.right(one), task.right(other), strict=True)
    ]
    if not pairs:
        return None
    only_first = sum(a and not b for a, b in pairs)
    only_second = sum(b and not a for a, b in pairs)
    n = only_first + only_second
    p = min(1.0, 2.0 * float(bdtr(min(only_first, only_second), n, 0.5))) if n else None
    return McNemar(len(pairs), only_first, only_second, p)
