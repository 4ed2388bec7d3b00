"""Counts as bars: histograms as inline SVG, and small bars inside the cells of a table."""

from __future__ import annotations

from collections.abc import Mapping

from markupsafe import Markup

from soundflow.report.chart import N_COLOURS, Scale, tick_label, ticks
from soundflow.report.markup import join, tag

WIDTH, HEIGHT = 420, 210
LEFT, RIGHT, TOP, BOTTOM = 50, 12, 10, 40
MOST_BARS = 48
CELL_WIDTH, CELL_HEIGHT = 120, 10


def histogram(
    counts: Mapping[int, int], x_name: str, y_name: str, *, bin_width: int = 1, colour: int = 0
) -> Markup:
    """Bars over a line of numbers.

    Args:
        counts: lower edge of a bin -> how often; edges are multiples of ``bin_width``. Where there
            are too many bins to draw, neighbours are joined.
    """
    if not any(counts.values()):
        return tag("p", "nothing to draw", class_="empty")
    low, high = min(counts), max(counts) + bin_width
    width = bin_width
    while (high - low) / width > MOST_BARS:
        width += bin_width
    joined: dict[int, int] = {}
    for edge, n in counts.items():
        at = low + (edge - low) // width * width
        joined[at] = joined.get(at, 0) + n
    high = max(joined) + width
    x = Scale(low, high, LEFT, WIDTH - RIGHT)
    y = Scale(0, max(joined.values()) * 1.05, HEIGHT - BOTTOM, TOP)
    parts = []
    for value in ticks(y.low, y.high, about=4):
        at_y = y(value)
        parts.append(tag("line", x1=x.start, x2=x.end, y1=at_y, y2=at_y, class_="grid"))
        parts.append(tag("text", tick_label(value), x=x.start - 8, y=at_y + 4, class_="tick end"))
    for edge, n in sorted(joined.items()):
        left, right = x(edge) + 0.75, x(edge + width) - 0.75
        values = f"{edge}" if width == 1 else f"{edge} to {edge + width}"
        parts.append(
            tag(
                "rect", tag("title", f"{values}: {n:,}"), x=left, y=y(n),
                width=max(1.0, right - left), height=y.start - y(n), rx=1.5,
                class_=f"f{colour % N_COLOURS}",
            )
        )  # fmt: skip
    for value in ticks(x.low, x.high, about=7):
        # A bar of width one stands for its number, a wider one begins at it.
        at_x = x(value + 0.5) if width == 1 else x(value)
        if at_x <= x.end and (width > 1 or value == int(value)):
            parts.append(
                tag("text", tick_label(value), x=at_x, y=y.start + 17, class_="tick middle")
            )
    parts.append(tag("line", x1=x.start, x2=x.end, y1=y.start, y2=y.start, class_="axis"))
    middle, up = (x.start + x.end) / 2, (y.start + y.end) / 2
    parts.append(tag("text", x_name, x=middle, y=HEIGHT - 5, class_="axis-name middle"))
    parts.append(
        tag("text", y_name, x=11, y=up, class_="axis-name middle", transform=f"rotate(-90 11 {up})")
    )
    return tag(
        "svg", join(parts), viewBox=f"0 0 {WIDTH} {HEIGHT}", class_="chart", role="img",
        aria_label=f"{y_name} by {x_name}",
    )  # fmt: skip


def cell_bar(share: float, colour: int = 0) -> Markup:
    """A bar for a table cell; ``share`` in [0, 1] of its full width."""
    bar = tag(
        "rect", x=0, y=0, width=max(1.0, share * CELL_WIDTH), height=CELL_HEIGHT, rx=2,
        class_=f"f{colour % N_COLOURS}",
    )  # fmt: skip
    return tag(
        "svg", bar, width=CELL_WIDTH, height=CELL_HEIGHT, viewBox=f"0 0 {CELL_WIDTH} {CELL_HEIGHT}",
        role="presentation", style="vertical-align:middle;margin-left:10px",
    )  # fmt: skip
