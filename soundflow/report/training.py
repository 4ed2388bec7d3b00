"""The curves of a training run, from the rows of its ``metrics.jsonl``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from soundflow.report.chart import N_COLOURS, Series, line_chart
from soundflow.report.markup import join, tag
from soundflow.report.page import Section

# One colour for one quantity, in every chart of a page.
COLOURS = {"recall": 2, "precision": 3, "f1": 4, "reply_exact": 6, "early_share": 7}
# For quantities without a colour of their own, least confusing first.
_FREE_COLOURS = (5, 7, 6, 1, 0, 3, 4, 2)

# Held-out figures between 0 and 1 that show whether the model learns.
_RATIOS = (
    "decision_accuracy", "decision_precision", "decision_recall", "decision_f1",
    "reply_token_accuracy", "event_f1", "event_recall", "event_precision", "event_reply_exact",
    "event_early_share", "event_threshold",
)  # fmt: skip
_MOST_POINTS = 400  # of a series: more than a chart can show


@dataclass(frozen=True)
class _Chart:
    """Which lines go together; ``whole`` is the range of ratios, 0 to 1."""

    title: str
    keys: Sequence[str]
    unit: str
    whole: bool = False
    log: bool = False


def training_section(rows: Sequence[Mapping[str, Any]]) -> list[Section]:
    """The curves of a run; nothing where it has no metrics."""
    lines = [row for row in rows if row["update"] is not None]
    if not lines:
        return []
    last = max(1.0, float(lines[-1]["update"]))
    charts = [
        line_chart(
            _series(lines, chart.keys), "update", chart.unit, title=chart.title, log_y=chart.log,
            x_range=(0.0, last), y_range=_y_range(lines, chart),
        )
        for chart in _charts(list(dict.fromkeys(k for line in lines for k in line)))
        if any(key in line for key in chart.keys for line in lines)
    ]  # fmt: skip
    lead = "Held-out figures beside those of training; false triggers only show in live decoding."
    return [Section("training", "Training", lead, tag("div", join(charts), class_="charts"))]


def _charts(found: Sequence[str]) -> list[_Chart]:
    ratios = [k for k in found if k.removeprefix("valid/") in _RATIOS]
    by_task = [k for k in found if _is_loss_of_task(k)][:N_COLOURS]
    losses = [k for k in found if k.startswith("train/loss")]
    return [
        _Chart("Loss", [*losses, "valid/loss"], "nats", log=True),
        _Chart("Held-out, decoded live", [k for k in ratios if "event_" in k], "ratio", whole=True),
        _Chart("False triggers", ["valid/event_false_per_hour"], "an hour"),
        _Chart(
            "Held-out, teacher-forced", [k for k in ratios if "event_" not in k], "ratio",
            whole=True,
        ),
        _Chart("Held-out loss by task", by_task, "nats", log=True),
        _Chart("Gradient norm", ["train/grad_norm"], "", log=True),
        _Chart("Learning rate", ["train/lr"], ""),
        _Chart("Useful tokens", ["speed/tokens_per_s"], "a second"),
        _Chart("Model FLOP utilisation", ["speed/mfu"], "share of peak", whole=True),
        _Chart("Waiting for data", ["speed/data_wait"], "share of time", whole=True),
        _Chart("Peak memory of the first process", ["speed/peak_memory_gb"], "GB"),
    ]  # fmt: skip


def _y_range(lines: Sequence[Mapping[str, Any]], chart: _Chart) -> tuple[float, float] | None:
    if chart.log:
        return None
    top = max(float(line[key]) for line in lines for key in chart.keys if key in line)
    return 0.0, 1.0 if chart.whole else 1.04 * top or 1.0


def _series(lines: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> list[Series]:
    names = [_shown(k) for k in keys]
    free = [c for c in _FREE_COLOURS if c not in {COLOURS.get(n) for n in names}]
    colours = [COLOURS[n] if n in COLOURS else free.pop(0) for n in names]
    return [
        Series(
            name.replace("_", " "),
            _thinned([(float(x["update"]), float(x[key])) for x in lines if key in x]),
            colour,
        )
        for name, key, colour in zip(names, keys, colours, strict=True)
    ]


def _thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Means of neighbours where there are too many points to draw."""
    n = -(-len(points) // _MOST_POINTS)
    groups = [points[at : at + n] for at in range(0, len(points), n)] if n > 1 else []
    means = [(sum(x for x, _ in g) / len(g), sum(y for _, y in g) / len(g)) for g in groups]
    return means or list(points)


def _is_loss_of_task(key: str) -> bool:
    return key.startswith("valid/task/") and key.endswith("/loss")


def _shown(key: str) -> str:
    if _is_loss_of_task(key):
        return key.split("/", 2)[2].removesuffix("/loss")
    if key == "valid/loss":
        return "held-out loss"
    return key.split("/", 1)[-1].removeprefix("event_").removeprefix("decision_")
