"""Line charts and histograms as inline SVG.

Our own SVG, and not a plotting library's, by result: colours come from the page's style sheet, so a
chart follows light and dark and one quantity keeps one colour across all figures; every mark has a
hover text; a chart is 2-5 kB. matplotlib gave the same line chart in 17 kB with fixed colours and
no hover text, for 76 MB of packages and 1.3 s of import, and could replace no more than this
module: the timeline with its audio player is ours under any of them. plotly, bokeh and altair bring
megabytes of script into every page.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from soundflow.report.markup import join, tag

LEFT, RIGHT, TOP, BOTTOM = 52, 14, 14, 40
LINE_SIZE = (520, 300)
HISTOGRAM_SIZE = (420, 210)
N_COLOURS = 8
MOST_BARS = 48
CELL_WIDTH, CELL_HEIGHT = 120, 10


@dataclass(frozen=True)
class Series:
    """Points (x, y) joined in the given order, or single marks. ``colour`` 0..7 of the palette."""

    name: str
    points: Sequence[tuple[float, float]]
    colour: int = 0
    marks_only: bool = False


@dataclass(frozen=True)
class Scale:
    """Data to pixels, linear or by decades.

    ``log`` needs 0 < low < high; values below ``low``, zero among them, are drawn at ``low``.
    """

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        low, high, at = self.low, self.high, value
        if self.log:
            low, high, at = math.log10(low), math.log10(high), math.log10(max(value, low))
        span = high - low
        return self.start + ((at - low) / span if span else 0.5) * (self.end - self.start)

    def ticks(self, about: int = 5) -> list[float]:
        if not self.log:
            return ticks(self.low, self.high, about)
        low, high = math.log10(self.low), math.log10(self.high)
        decades = range(math.floor(low), math.floor(high) + 1)
        within = (1.0,) if high - low > about / 2 else (1.0, 2.0, 5.0)
        found = [
            m * 10.0**k for k in decades for m in within if self.low <= m * 10.0**k <= self.high
        ]
        return found if len(found) > 1 else ticks(self.low, self.high, about)


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
    log_x: bool = False,
    log_y: bool = False,
    x_mark: float | None = None,
    title: str = "",
) -> Markup:
    """A chart with axes, grid and legend. Points that are not finite are left out.

    Args:
        log_x: an x axis by decades; it needs ``x_range``, and draws what is below it at its start.
        log_y: a y axis by decades, for values above 0.
        x_mark: position of a dashed vertical line.
    """
    width, height = LINE_SIZE
    kept = [
        (s, [p for p in s.points if all(map(math.isfinite, p)) and (p[1] > 0 or not log_y)])
        for s in series
    ]
    points = [p for _, finite in kept for p in finite]
    if not points:
        return tag("p", "nothing to draw", class_="empty")
    x_limits = x_range or _limits([p[0] for p in points])
    x = Scale(*x_limits, LEFT, width - RIGHT, log_x)
    y_limits = y_range or _limits([p[1] for p in points], log_y)
    y = Scale(*y_limits, height - BOTTOM, TOP, log_y)
    drawn = [_axes(x, y, x_name, y_name, height)]
    if x_mark is not None:
        at = x(x_mark)
        drawn.append(tag("line", x1=at, x2=at, y1=y.start, y2=y.end, class_="threshold"))
    drawn += [_series(one, finite, x, y) for one, finite in kept]
    svg = tag(
        "svg", join(drawn), viewBox=f"0 0 {width} {height}", class_="chart", role="img",
        aria_label=title or f"{y_name} against {x_name}",
    )  # fmt: skip
    keys = [
        tag("span", join((tag("i", "", class_=f"key c{s.colour % N_COLOURS}"), s.name)))
        for s, finite in kept
        if finite and len(kept) > 1
    ]
    head = [tag("h3", title)] if title else []
    return tag("figure", join((*head, svg, tag("figcaption", join(keys)))), class_="figure")


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
    width, height = HISTOGRAM_SIZE
    joined, bin_width = _joined(counts, bin_width)
    x = Scale(min(joined), max(joined) + bin_width, LEFT, width - RIGHT)
    y = Scale(0, max(joined.values()) * 1.05, height - BOTTOM, TOP)
    # A bar of width one is centred on its number, a wider one begins at it.
    offset = 0.5 if bin_width == 1 else 0.0
    parts = [_axes(x, y, x_name, y_name, height, whole=bin_width == 1, offset=offset)]
    for edge, n in sorted(joined.items()):
        left, right = x(edge) + 0.75, x(edge + bin_width) - 0.75
        values = f"{edge}" if bin_width == 1 else f"{edge} to {edge + bin_width}"
        parts.append(
            tag(
                "rect", tag("title", f"{values}: {n:,}"), x=left, y=y(n),
                width=max(1.0, right - left), height=y.start - y(n), rx=1.5,
                class_=f"f{colour % N_COLOURS}",
            )
        )  # fmt: skip
    return tag(
        "svg", join(parts), viewBox=f"0 0 {width} {height}", class_="chart", role="img",
        aria_label=f"{y_name} by {x_name}",
    )  # fmt: skip


def cell_bar(fraction: float, colour: int = 0) -> Markup:
    """A bar for a table cell; ``fraction`` in [0, 1] of its full width."""
    bar = tag(
        "rect", x=0, y=0, width=max(1.0, fraction * CELL_WIDTH), height=CELL_HEIGHT, rx=2,
        class_=f"f{colour % N_COLOURS}",
    )  # fmt: skip
    return tag(
        "svg", bar, width=CELL_WIDTH, height=CELL_HEIGHT, viewBox=f"0 0 {CELL_WIDTH} {CELL_HEIGHT}",
        role="presentation", style="vertical-align:middle;margin-left:10px",
    )  # fmt: skip


def _limits(values: Sequence[float], log: bool = False) -> tuple[float, float]:
    low, high = min(values), max(values)
    if log:
        return low / 1.2, high * 1.2
    if low == high:
        return low - 0.5, high + 0.5
    margin = 0.04 * (high - low)
    return (low if low == 0 else low - margin), high + margin


def _joined(counts: Mapping[int, int], bin_width: int) -> tuple[dict[int, int], int]:
    """Counts in at most `MOST_BARS` bins, and their width."""
    low, high = min(counts), max(counts) + bin_width
    width = bin_width
    while (high - low) / width > MOST_BARS:
        width += bin_width
    joined: dict[int, int] = {}
    for edge, n in counts.items():
        at = low + (edge - low) // width * width
        joined[at] = joined.get(at, 0) + n
    return joined, width


def _axes(
    x: Scale,
    y: Scale,
    x_name: str,
    y_name: str,
    height: float,
    *,
    whole: bool = False,
    offset: float = 0.0,
) -> Markup:
    """Grid, ticks and names. ``whole``: integers only; ``offset`` moves ticks along x."""
    parts = []
    for value in y.ticks():
        at = y(value)
        parts.append(tag("line", x1=x.start, x2=x.end, y1=at, y2=at, class_="grid"))
        parts.append(tag("text", tick_label(value), x=x.start - 8, y=at + 4, class_="tick end"))
    for value in x.ticks(about=6):
        at = x(value + offset)
        if at > x.end + 0.01 or (whole and value != int(value)):
            continue
        parts.append(tag("line", x1=at, x2=at, y1=y.start, y2=y.start + 5, class_="axis"))
        parts.append(tag("text", tick_label(value), x=at, y=y.start + 18, class_="tick middle"))
    parts.append(tag("line", x1=x.start, x2=x.end, y1=y.start, y2=y.start, class_="axis"))
    middle, up = (x.start + x.end) / 2, (y.start + y.end) / 2
    parts.append(tag("text", x_name, x=middle, y=height - 4, class_="axis-name middle"))
    parts.append(
        tag("text", y_name, x=12, y=up, class_="axis-name middle", transform=f"rotate(-90 12 {up})")
    )
    return join(parts)


def _series(one: Series, finite: Sequence[tuple[float, float]], x: Scale, y: Scale) -> Markup:
    colour = one.colour % N_COLOURS
    parts = []
    if not one.marks_only and len(finite) > 1:
        path = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in finite)
        parts.append(tag("polyline", points=path, class_=f"line s{colour}"))
    if one.marks_only or len(finite) <= 30:
        radius = 5.0 if one.marks_only else 2.6
        for a, b in finite:
            hint = tag("title", f"{one.name}: {a:.4g}, {b:.4g}")
            parts.append(tag("circle", hint, cx=x(a), cy=y(b), r=radius, class_=f"dot f{colour}"))
    return join(parts)
