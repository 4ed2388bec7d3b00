"""The section of the trade-off: recall against false triggers over the threshold."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from inference.evaluate.task import MODEL
from inference.evaluate.timing.metrics import Metrics
from inference.evaluate.timing.results import TimingResults
from inference.evaluate.timing.task import TIMER
from soundflow.report.chart import Series, line_chart
from soundflow.report.markup import join, number, tag
from soundflow.report.page import Section
from soundflow.report.training import COLOURS as OF_QUANTITIES

COLOURS = {MODEL: 0, TIMER: 1, "random": 5, **OF_QUANTITIES}


def curve_section(results: TimingResults) -> Section:
    """Two charts: the trade-off by decades of false triggers, and the figures by threshold."""
    if results.chosen is None:
        origin = f"The threshold {results.threshold:.3f} comes from the checkpoint or the recipe."
    else:
        chosen = results.chosen
        origin = (
            f"The threshold {chosen.threshold:.3f} was chosen for the best {chosen.rule} on the "
            f"split “{results.calibrate_on}” ({number(chosen.value)} there; other draws of its "
            f"streams give {number(chosen.low, 3)} to {number(chosen.high, 3)})."
        )
    lead = f"{origin} Every point is decoded separately, because replies stay in the context."
    charts = join((_trade_off(results), _by_threshold(results)))
    return Section(
        "curve", "Recall against false triggers", lead, tag("div", charts, class_="charts")
    )


def _trade_off(results: TimingResults) -> str:
    systems = results.headline
    lone = {name: _points([systems[name]]) for name in (MODEL, TIMER, "random")}
    curve = sorted(_points(results.curve.values()))
    rates = [x for x, _ in curve + [p for points in lone.values() for p in points]]
    hours = systems[MODEL]["hours"].value or 1.0
    # One false trigger in all the audio is the lowest measurable rate; zero is drawn at half of it.
    floor = 0.5 / hours
    ceiling = 1.3 * max([10.0 * floor, *rates])
    return line_chart(
        [
            Series("model, by threshold", curve, COLOURS[MODEL]),
            Series("model at the chosen threshold", lone[MODEL], COLOURS[MODEL], marks_only=True),
            Series("silence timer", lone[TIMER], COLOURS[TIMER], marks_only=True),
            Series("random", lone["random"], COLOURS["random"], marks_only=True),
        ],
        f"false triggers per hour (log scale; 0 is drawn at {floor:.2g})", "recall",
        y_range=(0.0, 1.0), x_range=(floor, ceiling), log_x=True, title="Trade-off",
    )  # fmt: skip


def _by_threshold(results: TimingResults) -> str:
    curve = sorted(results.curve.items())
    series = [
        Series(name, _values(curve, key), COLOURS[key])
        for key, name in (("recall", "recall"), ("precision", "precision"), ("f1", "F1"))
    ]
    return line_chart(
        series, "threshold on p(response); the chosen one is dashed", "ratio",
        y_range=(0.0, 1.0), x_range=(0.0, 1.0), x_mark=results.threshold,
        title="Figures by threshold",
    )  # fmt: skip


def _values(curve: Sequence[tuple[float, Metrics]], key: str) -> list[tuple[float, float]]:
    values = [(threshold, metrics[key].value) for threshold, metrics in curve]
    return [(threshold, value) for threshold, value in values if value is not None]


def _points(found: Iterable[Metrics]) -> list[tuple[float, float]]:
    return [
        (m["false_per_hour"].value, m["recall"].value)
        for m in found
        if m["false_per_hour"].value is not None and m["recall"].value is not None
    ]
