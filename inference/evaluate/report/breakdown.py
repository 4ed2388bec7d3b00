"""The report sections by kind of event and by task."""

from __future__ import annotations

from inference.evaluate.timing.breakdown import KindScore, TaskScore
from inference.evaluate.timing.results import TimingResults
from soundflow.report.markup import MISSING, number, percent, table
from soundflow.report.page import Section

CONFUSIONS_SHOWN = 3


def kinds_section(results: TimingResults) -> Section:
    """One row for each kind of event, those with most mistakes first."""
    head = [
        "kind of event", "to answer", "hits", "word for word", "misses", "early", "repeats",
        "to ignore", "strays after it", "said instead",
    ]  # fmt: skip
    lead = (
        "Those with most mistakes first. A stray is a reply that belongs to no event; it is "
        "counted at the latest event before it. “Said instead” lists what wrong replies would "
        "have answered."
    )
    body = table(head, [_kind_row(k) for k in results.kinds], words=len(head) - 1)
    return Section("kinds", "By kind of event", lead, body)


def _kind_row(kind: KindScore) -> list[str]:
    shown = [f"{_name(k)} {n}" for k, n in kind.confusions[:CONFUSIONS_SHOWN]]
    more = sum(n for _, n in kind.confusions[CONFUSIONS_SHOWN:])
    words = ", ".join([*shown, *([f"others {more}"] if more else [])]) or MISSING
    answered = [kind.to_answer, kind.hits, kind.exact, kind.misses, kind.early, kind.repeats]
    return [
        _name(kind.kind),
        *(str(n) if kind.to_answer else MISSING for n in answered),
        str(kind.to_ignore),
        str(kind.strays),
        words,
    ]


def tasks_section(results: TimingResults) -> Section:
    """One row for each task, grouped by ability."""
    head = [
        "ability", "task", "streams", "hours", "events to answer", "recall", "precision", "F1",
        "false / h", "misses", "latency p50, s", "reply exact",
    ]  # fmt: skip
    rows = [_task_row(t) for t in results.tasks]
    lead = "The model at the chosen threshold, each task on its own streams."
    return Section("tasks", "By task", lead, table(head, rows, words=1))


def _task_row(task: TaskScore) -> list[str]:
    m = task.metrics
    return [
        _name(task.ability.split("/")[-1]),
        _name(task.task),
        str(task.n_streams),
        number(m["hours"].value),
        number(m["wanted"].value, 0),
        percent(m["recall"].value),
        percent(m["precision"].value),
        number(m["f1"].value),
        number(m["false_per_hour"].value, 1),
        number(m["misses"].value, 0),
        number(m["latency_p50_s"].value),
        percent(m["reply_exact"].value),
    ]


def _name(name: str) -> str:
    return name.replace("_", " ")
