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
from scipy.stats import binomtest

from inference.evaluate.recipe import EvaluateRecipe
from inference.evaluate.results import RECIPE_FILE, RESULTS_FILE, ROWS_FOLDER
from inference.evaluate.statistics.figures import Figure, with_interval
from inference.evaluate.store import read_rows
from inference.evaluate.suite import benchmark_tasks
from inference.evaluate.task import Task
from inference.evaluate.timing.task import TimingTask
from soundflow.config.load import load
from soundflow.errors import UserError
from soundflow.protocol.spec import StreamSpec
from soundflow.stored_json import parsed


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

    def to_json(self) -> dict[str, Any]:
        return {
            "title": self.title,
            "n_items": self.n_items,
            "figures": {
                d.name: {
                    "first": d.first.to_json(), "second": d.second.to_json(),
                    "difference": d.difference.to_json(), "p": d.p,
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
        UserError: if one is no evaluation, they share no task, or a task has other items.
    """
    found = []
    one, other = rows_in(first), rows_in(second)
    for task in tasks_in(second):
        if task.name in one and task.name in other:
            rows = (read_rows(rows[task.name], task.row_type) for rows in (one, other))
            found.append(compare_rows(task, *rows))
    if not found:
        raise UserError(f"{first} and {second} have no task in common", "evaluate the same data")
    return tuple(found)


def rows_in(folder: Path) -> dict[str, Path]:
    """Task -> the file with its rows.

    Raises:
        UserError: if the folder is no finished evaluation.
    """
    if not (folder / RESULTS_FILE).is_file():
        raise UserError(f"{folder}: is no finished evaluation", "run `soundflow evaluate` first")
    return {path.stem: path for path in (folder / ROWS_FOLDER).glob("*.jsonl")}


def tasks_in(folder: Path) -> list[Task[Any, Any]]:
    """The tasks of an evaluation, without their data: enough to read and to sum up rows."""
    recipe = load(folder / RECIPE_FILE, EvaluateRecipe)
    try:
        spec = StreamSpec.from_json(parsed((folder / RESULTS_FILE).read_bytes())["spec"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{folder / RESULTS_FILE}: cannot be read", "evaluate again") from error
    tasks = benchmark_tasks(recipe.benchmarks, spec.time)
    if recipe.timing is not None:
        tasks.insert(0, TimingTask((), spec.time, recipe.timing.windows_s[0]))
    return tasks


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
    p = float(binomtest(only_first, n, 0.5).pvalue) if n else None
    return McNemar(len(pairs), only_first, only_second, p)
