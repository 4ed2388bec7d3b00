"""The report of an evaluation: one HTML file, nothing outside it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from markupsafe import Markup

from inference.evaluate.bootstrap import Estimate
from inference.evaluate.curve import HEADLINE_FALSE_PER_HOUR, recall_at
from inference.evaluate.metrics import EARLY_S, Metrics
from inference.evaluate.recipe import EvaluateRecipe
from inference.evaluate.report_origin import data_section, training_section
from inference.evaluate.stream_figure import stream_figure
from inference.evaluate.sweep import Run
from soundflow.protocol.spec import StreamSpec
from soundflow.report.chart import Series, line_chart
from soundflow.report.markup import MISSING, join, number, percent, table, tag, tiles
from soundflow.report.page import Section, write_page
from soundflow.shards.schema import StreamSample

if TYPE_CHECKING:
    from inference.evaluate.run import Results

REPORT_FILE = "report.html"
MODEL = "model"

Drawn = Sequence[tuple[StreamSample, Run]]


def write_report(recipe: EvaluateRecipe, results: Results, spec: StreamSpec, drawn: Drawn) -> None:
    """Writes ``report.html`` beside ``results.json``.

    Raises:
        UserError: if the output cannot be written.
    """
    sections = [
        _headline(results),
        _streams(results, spec, drawn),
        _systems(results),
        _curve(results),
        *training_section(recipe.report.training_metrics),
        *data_section(recipe.report.data_summary),
        _machine(results),
        _method(results),
    ]
    subtitle = (
        f"{results.n_streams} held-out streams of the split “{results.split}” through the live "
        f"engine, stream spec {spec.fingerprint}"
    )
    write_page(recipe.output / REPORT_FILE, "When it speaks, and what", subtitle, sections)


def _headline(results: Results) -> Section:
    window = next(iter(results.systems))
    model, timer = results.systems[window][MODEL], results.systems[window]["silence timer"]
    rows = [
        ("Event F1", number(model["f1"].value), _interval(model["f1"], 2)),
        ("Recall", percent(model["recall"].value), _interval(model["recall"], 0, 100, " %")),
        ("False triggers", f"{_rate(model)} / h",
         f"silence timer {_rate(timer)} / h"),
        ("Reply word for word", percent(model["reply_exact"].value),
         f"of the events to answer; {percent(model['reply_exact_of_hits'].value)} of the hits"),
        ("Latency p50", f"{number(model['latency_p50_s'].value)} s",
         f"p95 {number(model['latency_p95_s'].value)} s after it could be known"),
        ("Real-time factor", number(results.latency.real_time_factor, 3),
         f"missed deadlines {percent(results.latency.missed_deadlines, 1)}"),
    ]  # fmt: skip
    lead = (
        f"Replies count as right within {window:g} s after an event could be known. Small print: "
        "95 % bootstrap intervals over streams."
    )
    return Section("headline", "In short", lead, tiles(rows))


def _rate(metrics: Metrics) -> str:
    value = metrics["false_per_hour"].value
    return number(value, 0 if value is not None and value >= 100 else 1)


def _streams(results: Results, spec: StreamSpec, drawn: Drawn) -> Section:
    window = next(iter(results.systems))
    threshold = results.calibration.threshold
    figures = [stream_figure(sample, run, spec, threshold, window) for sample, run in drawn]
    lead = (
        "Held-out streams as the engine heard them. Green boxes deserve a reply from the thick "
        "line on, grey ones none. Blue bars are decisions to speak; the dashed line is the "
        "threshold. Play one, or click into it."
    )
    body = join(figures) if figures else tag("p", "no stream was asked for", class_="empty")
    return Section("streams", "Streams", lead, body)


_COLUMNS: tuple[tuple[str, str, int], ...] = (
    ("recall", "recall", 2),
    ("precision", "precision", 2),
    ("f1", "F1", 2),
    ("false_per_hour", "false / h", 1),
    ("false_per_hour_negative", "false / h where quiet is right", 1),
    ("latency_p50_s", "latency p50, s", 2),
    ("latency_p95_s", "p95, s", 2),
    ("early_share", "early", 2),
    ("repeats", "repeats", 0),
    ("misses", "misses", 0),
    ("reply_exact", "reply exact", 2),
)


def _systems(results: Results) -> Section:
    first, *others = results.systems
    parts = [_system_table(results.systems[first])]
    for window in others:
        inside = (
            tag("summary", f"with replies counted up to {window:g} s"),
            _system_table(results.systems[window]),
        )
        parts.append(tag("details", join(inside)))
    model = results.systems[first][MODEL]
    lead = (
        f"{number(model['wanted'].value, 0)} events to answer in {number(model['hours'].value)} h, "
        f"of which {number(model['hours_negative'].value)} h hold nothing to answer. Early, "
        "repeated and stray replies are all false triggers. The silence timer, set on the "
        "calibration split, is the rival; the oracles show what the measure does."
    )
    return Section("systems", "Beside systems without a model", lead, join(parts))


def _system_table(systems: Mapping[str, Metrics]) -> Markup:
    head = ["system", *(title for _, title, _ in _COLUMNS)]
    rows = [
        [name, *(_cell(metrics[key], digits) for key, _, digits in _COLUMNS)]
        for name, metrics in systems.items()
    ]
    return table(head, rows, strong=list(systems).index(MODEL))


def _cell(estimate: Estimate, digits: int) -> Markup:
    small = _interval(estimate, digits)
    parts: list[str | Markup] = [number(estimate.value, digits)]
    if small:
        parts.append(tag("span", small, class_="interval"))
    return join(parts)


def _interval(estimate: Estimate, digits: int, factor: float = 1.0, unit: str = "") -> str:
    if estimate.low is None or estimate.high is None:
        return ""
    return f"{factor * estimate.low:,.{digits}f} – {factor * estimate.high:,.{digits}f}{unit}"


def _curve(results: Results) -> Section:
    window = next(iter(results.systems))
    points = _points(results.curve.values())
    chosen = _points([results.systems[window][MODEL]])
    timer = _points([results.systems[window]["silence timer"]])
    random = _points([results.systems[window]["random"]])
    # Thresholds near 0 reply to everything; drawn to scale they would hide all the others.
    farthest = 1.6 * max((x for x, _ in chosen + timer + random), default=1.0)
    points = [(x, y) for x, y in points if x <= farthest]
    trade = line_chart(
        [
            Series("model over the threshold", sorted(points), 0),
            Series("chosen threshold", chosen, 2, marks_only=True),
            Series("silence timer", timer, 1, marks_only=True),
            Series("random", random, 5, marks_only=True),
        ],
        "false triggers an hour", "recall",
        y_range=(0.0, 1.0), x_range=(0.0, max(farthest, 1.0)),
    )  # fmt: skip
    by_threshold = sorted(results.curve.items())
    shares = [
        Series(name, _over_threshold(by_threshold, key), colour)
        for colour, (key, name) in enumerate(
            (("recall", "recall"), ("precision", "precision"), ("f1", "F1"))
        )
    ]
    over = line_chart(
        shares, "threshold on p(response)", "share", y_range=(0.0, 1.0), x_range=(0.0, 1.0)
    )
    heads = ", ".join(
        f"{percent(recall_at(results.curve, limit))} at {limit:g}"
        for limit in HEADLINE_FALSE_PER_HOUR
    )
    chose = results.calibration
    lead = (
        f"Recall at so many false triggers an hour: {heads}. The threshold {chose.threshold:.3f} "
        f"was chosen on the split “{chose.split}” ({chose.n_streams} streams, F1 "
        f"{number(chose.f1)}) and is stored with the checkpoint. Every point is a decoding of its "
        "own: what was said stays in the context."
    )
    body = tag("div", join((trade, over)), class_="charts")
    return Section("curve", "Recall against false triggers", lead, body)


def _over_threshold(curve: Sequence[tuple[float, Metrics]], key: str) -> list[tuple[float, float]]:
    values = [(threshold, metrics[key].value) for threshold, metrics in curve]
    return [(threshold, value) for threshold, value in values if value is not None]


def _points(found: Iterable[Metrics]) -> list[tuple[float, float]]:
    return [
        (m["false_per_hour"].value, m["recall"].value)
        for m in found
        if m["false_per_hour"].value is not None and m["recall"].value is not None
    ]


def _machine(results: Results) -> Section:
    found = results.latency
    rows = [
        ["first chunk: end of its audio to its decision", _ms(found.first_chunk_s)],
        ["decision, median", _ms(found.decision_p50_s)],
        ["decision, 95th percentile", _ms(found.decision_p95_s)],
        ["missed 0.4 s deadlines", percent(found.missed_deadlines, 1)],
        ["real-time factor", number(found.real_time_factor, 3)],
        ["stall (speaking with nothing to say)", percent(found.stall, 1)],
        ["peak memory", f"{found.peak_memory_mb:,.0f} MB"],
        ["live sessions that did as the batch did",
         f"{results.sessions_agree} of {results.sessions}"],
        ["streams that crashed", str(len(results.failures))],
    ]  # fmt: skip
    lead = f"Measured on single live sessions: {found.hardware}."
    return Section("machine", "Keeping up with the clock", lead, table(["figure", "value"], rows))


def _ms(seconds: float | None) -> str:
    return MISSING if seconds is None else f"{1000 * seconds:,.0f} ms"


def _method(results: Results) -> Section:
    texts = (
        "An event to answer takes the earliest free reply between the moment it could be known and "
        f"W seconds later, one to one. W is {', '.join(f'{w:g}' for w in results.systems)} s.",
        f"A reply before that moment (from the event's start, or up to {EARLY_S:g} s ahead) is "
        "early; a second reply to an answered event is a repeat; all others are strays. All three "
        "are false triggers.",
        "A reply's time is the end of the chunk after which it was decided. Latency is signed: "
        "early replies to events that got no other make it negative.",
        "Streams that crash keep their events and their hours in every denominator. A dash means "
        "that there is nothing to measure.",
    )  # fmt: skip
    body = tag("div", join(tag("p", t) for t in texts), class_="panel")
    return Section("method", "How it is measured", "The timing protocol in four sentences.", body)
