"""Sections on budgets of false triggers, on p(response), on conditions and on long streams."""

from __future__ import annotations

from inference.evaluate.report.cells import cell, figure_table
from inference.evaluate.report.curve import COLOURS
from inference.evaluate.timing.curve import OperatingPoint
from inference.evaluate.timing.results import TimingResults
from soundflow.report.chart import Series, line_chart
from soundflow.report.markup import MISSING, join, number, percent, table, tag
from soundflow.report.page import Section


def points_section(results: TimingResults) -> list[Section]:
    """Recall at fixed budgets; a budget that the data cannot carry has a reason and no figure."""
    if not results.points:
        return []
    head = [
        "false triggers an hour", "hours needed", "hours here", "threshold", "recall",
        "measured false / h", "on all audio", "",
    ]  # fmt: skip
    lead = (
        f"The threshold is the best on the split “{results.calibrate_on}” that keeps to the "
        f"budget on its silence-only audio; the figures are those of “{results.split}” at it. "
        "None heard in T hours means fewer than 3 / T an hour at 95 % (rule of three), so a "
        "budget needs its hours before anyone can claim it."
    )
    rows = [_point(point) for point in results.points]
    body = table(head, rows, words=len(head) - 1)
    return [Section("points", "Recall at a budget of false triggers", lead, body)]


def _point(point: OperatingPoint) -> list[str]:
    start = [
        f"{point.budget:g}", number(point.hours_needed, 1), number(point.hours_negative, 2)
    ]  # fmt: skip
    if point.refusal or point.chosen is None:
        return [*start, MISSING, MISSING, MISSING, MISSING, point.refusal or ""]
    chosen = point.chosen
    threshold = f"{chosen.threshold:.3f} ({number(chosen.low, 3)} – {number(chosen.high, 3)})"
    kept = (point.false_per_hour.value or 0.0) <= point.budget
    return [
        *start, threshold, cell(point.recall), cell(point.false_per_hour),
        cell(point.false_per_hour_all, 1), "" if kept else "over the budget on this split",
    ]  # fmt: skip


def reliability_section(results: TimingResults) -> list[Section]:
    found = results.reliability
    if not found.bins:
        return []
    lead = (
        "Of the decisions with a p(response) near x, the share at which a reply would have been a "
        "hit; on the diagonal, p(response) means what it says."
    )
    rows = [
        ["expected calibration error", cell(found.ece, 4)],
        ["Brier score", cell(found.brier, 4)],
        ["of decisions, speaking is right in", percent(found.base_rate.value, 1)],
        ["decisions", number(found.brier.n, 0)],
    ]
    chart = line_chart(
        [
            Series("observed", [(b.mean_p, b.share) for b in found.bins], COLOURS["recall"]),
            Series("perfect", [(0.0, 0.0), (1.0, 1.0)], COLOURS["random"]),
        ],
        "p(response)", "share", y_range=(0.0, 1.0), x_range=(0.0, 1.0), title="Reliability",
    )  # fmt: skip
    body = join((tag("div", chart, class_="charts"), table(["figure", "value"], rows)))
    return [Section("reliability", "Does p(response) mean what it says?", lead, body)]


def conditions_section(results: TimingResults) -> list[Section]:
    tables = [t for t in results.conditions if t.rows]
    if not tables:
        return []
    lead = "Intervals are Wilson's."
    return [Section("conditions", "By condition", lead, join(figure_table(t) for t in tables))]


def stability_section(results: TimingResults) -> list[Section]:
    if not results.stability:
        return []
    head = ["streams of", "streams", "F1", "of that one by one", "recall", "precision",
            "false / h", "latency p50, s"]  # fmt: skip
    rows = [
        [
            length.label,
            str(length.n_streams),
            cell(length.metrics["f1"]),
            cell(length.retained),
            *(cell(length.metrics[k]) for k in ("recall", "precision")),
            cell(length.metrics["false_per_hour"], 1),
            cell(length.metrics["latency_p50_s"]),
        ]
        for length in results.stability
    ]
    lead = (
        "The same streams (those of the commonest instruction), joined: what is lost from one row "
        "to the next is lost to length alone. "
        "The published model keeps 91 % over 1 to 5 segments."
    )
    return [Section("stability", "Longer streams", lead, table(head, rows))]
