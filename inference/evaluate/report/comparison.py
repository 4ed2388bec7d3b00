"""The page of a comparison of two evaluations."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup

from inference.evaluate.compare import Difference, TaskComparison
from inference.evaluate.report.cells import cell
from soundflow.report.markup import MISSING, join, table, tag
from soundflow.report.page import Section, write_page


def write_comparison(path: Path, names: tuple[str, str], found: Sequence[TaskComparison]) -> None:
    """Writes the page whole or not at all.

    Raises:
        UserError: if it cannot be written.
    """
    sections = [_section(number, names, task) for number, task in enumerate(found)]
    subtitle = f"A: {names[0]}; B: {names[1]}"
    write_page(path, "Two evaluations, item by item", subtitle, sections)


def _section(number: int, names: tuple[str, str], task: TaskComparison) -> Section:
    rows = [_row(d) for d in task.shown]
    parts: list[str | Markup] = [table(["figure", "A", "B", "B - A", "p", ""], rows, words=5)]
    if task.mcnemar is not None:
        m = task.mcnemar
        p = MISSING if m.p is None else f"{m.p:.3g}"
        parts.append(
            tag("p", f"Of {m.n} units, {m.only_first} are right in A only and {m.only_second} in B "
                     f"only: McNemar's exact p = {p}.")
        )  # fmt: skip
    lead = (
        f"{task.n_items} items, the same in both. Intervals of the difference are those of the "
        "paired bootstrap over items. With many figures some will differ by chance."
    )
    return Section(f"task-{number}", task.title, lead, join(parts))


def _row(d: Difference) -> list[str | Markup]:
    p = MISSING if d.p is None else f"{d.p:.3f}"
    name = d.name.replace("_", " ")
    return [name, cell(d.first, 3), cell(d.second, 3), cell(d.difference, 3), p, d.verdict]
