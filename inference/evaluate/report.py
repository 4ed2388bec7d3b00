"""The report of an evaluation: one HTML file, nothing outside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from markupsafe import Markup

from inference.evaluate.bootstrap import Estimate
from inference.evaluate.metrics import EARLY_S, Metrics
from inference.evaluate.report_breakdown import kinds_section, tasks_section
from inference.evaluate.report_curve import curve_section
from inference.evaluate.report_origin import Origin, data_section, training_section
from inference.evaluate.results import MODEL, TIMER, Results
from inference.evaluate.stream_figure import stream_figure
from inference.evaluate.sweep import Run
from soundflow.protocol.spec import StreamSpec
from soundflow.report.markup import MISSING, join, number, percent, table, tag, tiles
from soundflow.report.page import Section, write_page
from soundflow.shards.schema import StreamSample

Drawn = tuple[StreamSample, Run]


def write_report(
    path: Path, results: Results, spec: StreamSpec, drawn: Sequence[Drawn], origin: Origin
) -> None:
    """Writes the page whole or not at all.

    Args:
        drawn: the streams to show, in order, each with what the model did.

    Raises:
        UserError: if it cannot be written.
    """
    sections = [
        _headline(results),
        _streams(results, spec, drawn),
        kinds_section(results),
        tasks_section(results),
        _baselines(results),
        curve_section(results),
        *training_section(origin.training_metrics),
        *data_section(origin.data_summary),
        _real_time(results, spec),
        _method(results),
    ]
    left_out = f" ({results.n_offline} offline samples left out)" if results.n_offline else ""
    subtitle = (
        f"{results.n_streams} streams of the split “{results.split}”{left_out}, decoded by the "
        f"live engine; stream spec {spec.fingerprint}"
    )
    write_page(path, "Evaluation: when the model speaks, and what it says", subtitle, sections)


def _headline(results: Results) -> Section:
    window = results.headline_window_s
    model, timer = results.headline[MODEL], results.headline[TIMER]
    rows = [
        ("Event F1", number(model["f1"].value), interval(model["f1"], 2)),
        ("Recall", percent(model["recall"].value), interval(model["recall"], 0, 100, " %")),
        ("False triggers", f"{_rate(model)} / h", f"silence timer {_rate(timer)} / h"),
        ("Reply word for word", percent(model["reply_exact"].value),
         f"of the events to answer; {percent(model['reply_exact_of_hits'].value)} of the hits"),
        ("Latency p50", f"{number(model['latency_p50_s'].value)} s",
         f"after t_ready; p95 {number(model['latency_p95_s'].value)} s"),
        ("Real-time factor", number(results.latency.real_time_factor, 3),
         f"missed deadlines {percent(results.latency.missed_deadlines, 1)}"),
    ]  # fmt: skip
    lead = (
        f"A reply is correct if it starts within {window:g} s of t_ready, the time from which an "
        "event can be answered. Intervals are 95 % bootstrap intervals over streams."
    )
    return Section("headline", "Summary", lead, tiles(rows))


def _rate(metrics: Metrics) -> str:
    value = metrics["false_per_hour"].value
    return number(value, 0 if value is not None and value >= 100 else 1)


def _streams(results: Results, spec: StreamSpec, drawn: Sequence[Drawn]) -> Section:
    window, threshold = results.headline_window_s, results.calibration.threshold
    figures = [stream_figure(sample, run, spec, threshold, window) for sample, run in drawn]
    lead = (
        "Streams with misses and false triggers first, then some without. Green boxes are events "
        "to answer, the thick line is t_ready; grey boxes are events that need no reply. Blue bars "
        "are decisions to speak, the dashed line is the threshold. Click into a stream to play it "
        "from there."
    )
    body = join(figures) if figures else tag("p", "no streams requested", class_="empty")
    return Section("streams", "Streams", lead, body)


_COLUMNS: tuple[tuple[str, str, int], ...] = (
    ("recall", "recall", 2),
    ("precision", "precision", 2),
    ("f1", "F1", 2),
    ("false_per_hour", "false / h", 1),
    ("false_per_hour_negative", "false / h, silence-only streams", 1),
    ("latency_p50_s", "latency p50, s", 2),
    ("latency_p95_s", "p95, s", 2),
    ("early_share", "early", 2),
    ("repeats", "repeats", 0),
    ("misses", "misses", 0),
    ("reply_exact", "reply exact", 2),
)


def _baselines(results: Results) -> Section:
    first, *others = results.systems
    parts = [_system_table(results.systems[first])]
    for window in others:
        inside = (
            tag("summary", f"with replies counted up to {window:g} s"),
            _system_table(results.systems[window]),
        )
        parts.append(tag("details", join(inside)))
    model = results.headline[MODEL]
    lead = (
        f"{number(model['wanted'].value, 0)} events to answer in {number(model['hours'].value)} h, "
        f"of which {number(model['hours_negative'].value)} h in silence-only streams. Early, "
        "repeated and stray replies are all false triggers. The silence timer, tuned on the "
        "calibration split, is the baseline to beat; the oracles check the metrics themselves."
    )
    return Section("systems", "Baselines", lead, join(parts))


def _system_table(systems: Mapping[str, Metrics]) -> Markup:
    head = ["system", *(title for _, title, _ in _COLUMNS)]
    rows = [
        [name, *(_cell(metrics[key], digits) for key, _, digits in _COLUMNS)]
        for name, metrics in systems.items()
    ]
    return table(head, rows, strong=list(systems).index(MODEL))


def _cell(estimate: Estimate, digits: int) -> Markup:
    small = interval(estimate, digits)
    parts: list[str | Markup] = [number(estimate.value, digits)]
    if small:
        parts.append(tag("span", small, class_="interval"))
    return join(parts)


def interval(estimate: Estimate, digits: int, factor: float = 1.0, unit: str = "") -> str:
    """The bounds of an estimate; nothing where it has none."""
    if estimate.low is None or estimate.high is None:
        return ""
    return f"{factor * estimate.low:,.{digits}f} – {factor * estimate.high:,.{digits}f}{unit}"


def _real_time(results: Results, spec: StreamSpec) -> Section:
    found = results.latency
    rows = [
        ["first chunk: end of its audio to its decision", _ms(found.first_chunk_s)],
        ["decision, median", _ms(found.decision_p50_s)],
        ["decision, 95th percentile", _ms(found.decision_p95_s)],
        [f"missed {spec.time.chunk_s:g} s deadlines", percent(found.missed_deadlines, 1)],
        ["real-time factor", number(found.real_time_factor, 3)],
        ["stall (speaking, next token not ready)", percent(found.stall, 1)],
        ["peak memory", f"{found.peak_memory_mb:,.0f} MB"],
        ["live sessions with the same events as batch decoding",
         f"{results.sessions_agree} of {results.sessions}"],
        ["streams that crashed", str(len(results.failures))],
    ]  # fmt: skip
    lead = f"Measured on single live sessions: {found.hardware}."
    body = table(["figure", "value"], rows)
    return Section("machine", "Real-time performance", lead, body)


def _ms(seconds: float | None) -> str:
    return MISSING if seconds is None else f"{1000 * seconds:,.0f} ms"


def _method(results: Results) -> Section:
    texts = (
        "An event to answer takes the earliest free reply between t_ready and W seconds later, one "
        f"to one. W is {', '.join(f'{w:g}' for w in results.systems)} s.",
        f"A reply before t_ready (from the event's start, or up to {EARLY_S:g} s ahead) is early; "
        "a second reply to an answered event is a repeat; all others are strays. All three are "
        "false triggers.",
        "A reply's time is the end of the chunk after which it was decided. Latency is signed: "
        "early replies to events that got no other make it negative.",
        "Streams that crash keep their events and their hours in every denominator. A dash means "
        "that there is nothing to measure.",
    )  # fmt: skip
    body = tag("div", join(tag("p", t) for t in texts), class_="panel")
    return Section("method", "Method", "The timing protocol.", body)
