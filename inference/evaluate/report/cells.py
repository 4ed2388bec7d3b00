"""Figures in tables: the value, and its interval in small print."""

from __future__ import annotations

from markupsafe import Markup

from inference.evaluate.statistics.figures import Figure
from inference.evaluate.task import Table
from soundflow.report.markup import join, number, table, tag


def cell(figure: Figure, digits: int = 2) -> Markup:
    small = interval(figure, digits)
    parts: list[str | Markup] = [number(figure.value, digits)]
    if small:
        parts.append(tag("span", small, class_="interval"))
    return join(parts)


def interval(figure: Figure, digits: int, factor: float = 1.0, unit: str = "") -> str:
    """The bounds of a figure; nothing where it has none."""
    if figure.low is None or figure.high is None:
        return ""
    return f"{factor * figure.low:,.{digits}f} – {factor * figure.high:,.{digits}f}{unit}"


def figure_table(found: Table) -> Markup:
    """A breakdown with its heading."""
    rows = [[c if isinstance(c, str) else cell(c) for c in row] for row in found.rows]
    parts: list[str | Markup] = [tag("h3", found.title)]
    if found.lead:
        parts.append(tag("p", found.lead))
    return join([*parts, table(list(found.head), rows)])
