"""Line charts as inline SVG: colours come from the page, so they follow light and dark."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from soundflow.report.markup import join, tag

WIDTH, HEIGHT = 520, 300
LEFT, RIGHT, TOP, BOTTOM = 52, 14, 14, 40
N_COLOURS = 6


@dataclass(frozen=True)
class Series:
    """Points (x, y) joined in the given order, or single marks. ``colour`` 0..5 of the palette."""

    name: str
    points: Sequence[tuple[float, float]]
    colour: int = 0
    marks_only: bool = False


@dataclass(frozen=True)
class Scale:
    """Data to pixels, linear."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        span = self.high - self.low
        share = (value - self.low) / span if span else 0.5
        return self.start + share * (self.end - self.start)


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round values within [low, high], 1, 2 or 5 times a power of ten apart."""
    span = high - low
    if span <= 0 or not math.isfinite(span):
        return [low]
    rough = span / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1.0, 2.0, 5.0, 10.0) if m * power >= rough)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [k * step for k in range(first, last + 1)]


def tick_label(value: float) -> str:
    if abs(value) >= 10_000:
        return f"{value / 1000:g}k"
    return f"{round(value, 6):g}"


def line_chart(
    series: Sequence[Series],
    x_name: str,
    y_name: str,
    *,
    y_range: tuple[float, float] | None = None,
    x_range: tuple[float, float] | None = None,
    description: str = "",
) -> Markup:
    """A chart with axes, grid and legend. Points that are not finite are left out."""
    kept = [(s, [p for p in s.points if all(map(math.isfinite, p))]) for s in series]
    points = [p for _, finite in kept for p in finite]
    if not points:
        return tag("p", "nothing to draw", class_="empty")
    x = _scale([p[0] for p in points], x_range, LEFT, WIDTH - RIGHT)
    y = _scale([p[1] for p in points], y_range, HEIGHT - BOTTOM, TOP)
    drawn = [_grid(x, y, x_name, y_name)]
    for one, finite in kept:
        drawn.append(_series(one, finite, x, y))
    svg = tag(
        "svg", join(drawn), viewBox=f"0 0 {WIDTH} {HEIGHT}", class_="chart", role="img",
        aria_label=description or f"{y_name} against {x_name}",
    )  # fmt: skip
    keys = [
        tag("span", join((tag("i", "", class_=f"key c{s.colour % N_COLOURS}"), s.name)))
        for s, finite in kept
        if finite
    ]
    return tag("figure", join((svg, tag("figcaption", join(keys)))), class_="figure")


def _scale(
    values: Sequence[float], limits: tuple[float, float] | None, start: float, end: float
) -> Scale:
    low, high = limits or (min(values), max(values))
    if low == high:
        low, high = low - 0.5, high + 0.5
    elif limits is None:
        margin = 0.04 * (high - low)
        low, high = (low if low == 0 else low - margin), high + margin
    return Scale(low, high, start, end)


def _grid(x: Scale, y: Scale, x_name: str, y_name: str) -> Markup:
    parts = []
    for value in ticks(y.low, y.high):
        at = y(value)
        parts.append(tag("line", x1=x.start, x2=x.end, y1=at, y2=at, class_="grid"))
        parts.append(tag("text", tick_label(value), x=x.start - 8, y=at + 4, class_="tick end"))
    for value in ticks(x.low, x.high):
        at = x(value)
        parts.append(tag("line", x1=at, x2=at, y1=y.start, y2=y.start + 5, class_="axis"))
        parts.append(tag("text", tick_label(value), x=at, y=y.start + 18, class_="tick middle"))
    parts.append(tag("line", x1=x.start, x2=x.end, y1=y.start, y2=y.start, class_="axis"))
    middle = (x.start + x.end) / 2
    parts.append(tag("text", x_name, x=middle, y=HEIGHT - 4, class_="axis-name middle"))
    up = (y.start + y.end) / 2
    parts.append(
        tag("text", y_name, x=12, y=up, class_="axis-name middle", transform=f"rotate(-90 12 {up})")
    )
    return join(parts)


def _series(one: Series, finite: Sequence[tuple[float, float]], x: Scale, y: Scale) -> Markup:
    colour = one.colour % N_COLOURS
    path = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in finite)
    parts = []
    if not one.marks_only and len(finite) > 1:
        parts.append(tag("polyline", points=path, class_=f"line s{colour}"))
    if one.marks_only or len(finite) <= 30:
        for a, b in finite:
            hint = tag("title", f"{one.name}: {a:.4g}, {b:.4g}")
            dot = tag(
                "circle", hint, cx=x(a), cy=y(b), r=5.0 if one.marks_only else 2.6,
                class_=f"dot f{colour}",
            )  # fmt: skip
            parts.append(dot)
    return join(parts)
