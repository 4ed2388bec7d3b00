"""Escaped HTML and SVG from Python, and number formats."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from markupsafe import Markup, escape

MISSING = "–"


def tag(name: str, content: str | Markup | None = None, /, **attributes: object) -> Markup:
    """One element. ``class_`` is class, ``stroke_width`` is stroke-width; values are escaped.

    Floats are rounded to hundredths, since less is not visible in a drawing.
    """
    parts = [name]
    for key, value in attributes.items():
        if value is None:
            continue
        text = f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
        parts.append(f'{key.rstrip("_").replace("_", "-")}="{escape(text)}"')
    opened = " ".join(parts)
    if content is None:
        return Markup(f"<{opened}/>")
    return Markup(f"<{opened}>{escape(content)}</{name}>")


def join(parts: Iterable[str | Markup]) -> Markup:
    return Markup("".join(escape(p) for p in parts))


def number(value: float | None, digits: int = 2) -> str:
    return MISSING if value is None else f"{value:,.{digits}f}"


def percent(value: float | None, digits: int = 0) -> str:
    return MISSING if value is None else f"{100.0 * value:.{digits}f}\u00a0%"


def table(
    head: Sequence[str | Markup],
    rows: Iterable[Sequence[str | Markup]],
    strong: int | None = None,
    words: int | None = None,
) -> Markup:
    """A table that scrolls sideways on a narrow screen.

    Args:
        rows: the first cell of each is its heading.
        strong: the row to set off from the others.
        words: the column that holds text instead of figures.
    """
    header = tag(
        "tr",
        join(
            tag("th", h, scope="col", class_="words" if column == words else None)
            for column, h in enumerate(head)
        ),
    )
    body = []
    for index, row in enumerate(rows):
        cells = [tag("th", row[0], scope="row")]
        for column, cell in enumerate(row[1:], start=1):
            cells.append(tag("td", cell, class_="words" if column == words else None))
        body.append(tag("tr", join(cells), class_="strong" if index == strong else None))
    inner = tag("table", join((tag("thead", header), tag("tbody", join(body)))))
    return tag("div", inner, class_="scroll")


def tiles(items: Iterable[tuple[str, str, str]]) -> Markup:
    """Large figures in a row: (name, value, small print)."""
    made = [
        tag(
            "div",
            join(
                (
                    tag("div", name, class_="tile-name"),
                    tag("div", value, class_="tile-value"),
                    tag("div", note, class_="tile-note"),
                )
            ),
            class_="tile",
        )
        for name, value, note in items
    ]
    return tag("div", join(made), class_="tiles")
