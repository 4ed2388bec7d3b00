"""The report of an evaluation: one HTML file, nothing outside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from markupsafe import Markup

from inference.evaluate.report.breakdown import kinds_section, tasks_section
from inference.evaluate.report.cells import cell, figure_table, interval
from inference.evaluate.report.curve import curve_section
from inference.evaluate.report.origin import Origin, data_section, metrics_of
from inference.evaluate.report.quality import (
    conditions_section,
    points_section,
    reliability_section,
    stability_section,
)
from inference.evaluate.report.streams import Drawn, stream_figure
from inference.evaluate.results import Results, TaskResults
from inference.evaluate.systems.agreement import TIE
from inference.evaluate.task import MODEL
from inference.evaluate.timing.metrics import Metrics
from inference.evaluate.timing.results import TimingResults
from inference.evaluate.timing.rows import EARLY_S
from inference.evaluate.timing.task import TIMER
from soundflow.protocol.spec import StreamSpec
from soundflow.report.markup import MISSING, join, number, percent, table, tag, tiles
from soundflow.report.page import Section, write_page
from soundflow.report.training import training_section


def write_report(
    path: Path, results: Results, spec: StreamSpec, drawn: Sequence[Drawn], origin: Origin
) -> None:
    """Writes the page whole or not at all.

    Args:
        drawn: the streams to show, in order, each with what the model did.

    Raises:
        UserError: if it cannot be written.
    """
    sections: list[Section] = []
    if results.timing is not None:
        sections += _timing_sections(results.timing, spec, drawn)
    sections += [task_section(task) for task in results.tasks]
    sections += training_section(metrics_of(origin.training_metrics))
    sections += data_section(origin.data_summary)
    if results.timing is not None:
        sections += [_real_time(results.timing, spec), _method(results.timing)]
    sections.append(_provenance(results))
    subtitle = f"{results.provenance.checkpoint}, decoded by the live engine"
    write_page(path, "Evaluation: when the model speaks, and what it says", subtitle, sections)


def _timing_sections(
    results: TimingResults, spec: StreamSpec, drawn: Sequence[Drawn]
) -> list[Section]:
    return [
        _headline(results),
        _streams(results, spec, drawn),
        kinds_section(results),
        tasks_section(results),
        *conditions_section(results),
        _baselines(results),
        *points_section(results),
        curve_section(results),
        *reliability_section(results),
        *stability_section(results),
    ]


def task_section(task: TaskResults) -> Section:
    """The figures of every system on one benchmark, and the breakdowns of the model's."""
    columns = list(task.systems[MODEL].figures)
    rows = [
        [name, *(cell(summary.figures[c], 2) for c in columns)]
        for name, summary in task.systems.items()
    ]
    parts: list[str | Markup] = [
        table(["system", *(c.replace("_", " ") for c in columns)], rows, strong=0)
    ]
    parts += [figure_table(t) for t in task.systems[MODEL].tables]
    signatures = dict.fromkeys(
        f.signature for f in task.systems[MODEL].figures.values() if f.signature
    )
    parts += [tag("p", s, class_="empty") for s in signatures]
    failed = f" {len(task.failures)} failed and count as such." if task.failures else ""
    warned = "".join(f" {warning}." for warning in task.systems[MODEL].warnings)
    lead = f"{task.lead} {task.n_items} items.{failed}{warned}"
    return Section(task.name, task.title, lead, join(parts))


def _headline(results: TimingResults) -> Section:
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


def _streams(results: TimingResults, spec: StreamSpec, drawn: Sequence[Drawn]) -> Section:
    window, threshold = results.headline_window_s, results.threshold
    figures = [stream_figure(sample, outcome, spec, threshold, window) for sample, outcome in drawn]
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


def _baselines(results: TimingResults) -> Section:
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
        [name, *(cell(metrics[key], digits) for key, _, digits in _COLUMNS)]
        for name, metrics in systems.items()
    ]
    return table(head, rows, strong=list(systems).index(MODEL))


def _real_time(results: TimingResults, spec: StreamSpec) -> Section:
    found = results.latency
    rows = [
        ["first chunk: end of its audio to its decision", _ms(found.first_chunk_s)],
        ["decision, median", _ms(found.decision_p50_s)],
        ["decision, 95th percentile", _ms(found.decision_p95_s)],
        ["first decision after a reply, median", _ms(found.yield_p50_s)],
        ["first decision after a reply, 95th percentile", _ms(found.yield_p95_s)],
        [f"missed {spec.time.chunk_s:g} s deadlines", percent(found.missed_deadlines, 1)],
        ["real-time factor", number(found.real_time_factor, 3)],
        ["stall (speaking, next token not ready)", percent(found.stall, 1)],
        ["peak memory", f"{found.peak_memory_mb:,.0f} MB"],
        ["live sessions with the same replies as decoding many streams at once",
         f"{results.agreement.same} of {results.agreement.sessions}"],
        [f"decisions that differed (at most {TIE:g} from a tie in log-odds: rounding)",
         _flips(results)],
        ["streams that failed", str(len(results.failures))],
    ]  # fmt: skip
    lead = f"Measured on single live sessions: {found.hardware}."
    body = table(["figure", "value"], rows)
    return Section("machine", "Real-time performance", lead, body)


def _flips(results: TimingResults) -> str:
    found = results.agreement
    return str(found.flips) + ("" if found.widest is None else f", the widest {found.widest:.2g}")


def _ms(seconds: float | None) -> str:
    return MISSING if seconds is None else f"{1000 * seconds:,.0f} ms"


def _method(results: TimingResults) -> Section:
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


def _provenance(results: Results) -> Section:
    found = results.provenance
    rows = [
        ["weights", found.weights],
        ["stream spec", found.spec.fingerprint],
        ["device", f"{found.device}, {found.precision}"],
        ["threshold", f"{found.threshold:.3f}, {found.threshold_from}"],
        *(["note", note] for note in results.notes),
    ]
    if results.timing is not None:
        rows += [["failed", reason] for reason in results.timing.failures]
    rows += [["failed", reason] for task in results.tasks for reason in task.failures]
    return Section("provenance", "Provenance", "", table(["what", "value"], rows, words=1))
