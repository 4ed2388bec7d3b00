"""Where a checkpoint comes from: the curves of its training and the summary of its data."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from soundflow.report.chart import Series, line_chart
from soundflow.report.markup import join, number, table, tag
from soundflow.report.page import Section


def training_section(path: Path | None) -> list[Section]:
    """The curves of a run from its ``metrics.jsonl``; nothing where there is none."""
    lines = _json_lines(path)
    if not lines:
        return []
    losses = [k for k in _keys(lines) if k.startswith("train/loss")]
    shares = [k for k in _keys(lines) if k.startswith("valid/") and _is_share(lines, k)]
    teacher = [k for k in shares if "event_" not in k][:6]
    live = [k for k in shares if "event_" in k][:6]
    charts = [
        (title, line_chart(_series(lines, keys), "update", unit, y_range=limits))
        for title, keys, unit, limits in (
            ("Loss", losses, "nats", None),
            ("Held-out, told the truth so far (teacher-forced)", teacher, "share", (0.0, 1.0)),
            ("Held-out, decoded live", live, "share", (0.0, 1.0)),
        )
        if keys
    ]
    body = [tag("div", join((tag("h3", title), chart))) for title, chart in charts]
    lead = "Loss by part, and held-out figures on the way; false triggers can only show live."
    return [Section("training", "Training", lead, tag("div", join(body), class_="charts"))]


def _keys(lines: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(k for line in lines for k in line))


def _is_share(lines: Sequence[Mapping[str, Any]], key: str) -> bool:
    values = [line[key] for line in lines if key in line]
    return "loss" not in key and "latency" not in key and all(0.0 <= v <= 1.0 for v in values)


def _series(lines: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> list[Series]:
    return [
        Series(
            key.split("/", 1)[-1].removeprefix("event_").replace("_", " "),
            [(float(line["update"]), float(line[key])) for line in lines if key in line],
            colour,
        )
        for colour, key in enumerate(keys)
    ]


def _json_lines(path: Path | None) -> list[dict[str, Any]]:
    """Whole lines of a metrics file; none where there is no file (a run made elsewhere)."""
    if path is None or not path.is_file():
        return []
    lines = path.read_text().splitlines(keepends=True)
    return [
        json.loads(line) for line in lines if line.endswith("\n") and '"update": null' not in line
    ]


def data_section(path: Path | None) -> list[Section]:
    """The splits of a build from its ``summary.json``; nothing where there is none."""
    if path is None or not path.is_file():
        return []
    summary = json.loads(path.read_bytes())
    rows = [[name, *_split_cells(split)] for name, split in summary["splits"].items()]
    head = ["split", "streams", "hours", "events", "responses", "silences", "abilities"]
    drops = summary.get("drops") or {}
    dropped = ", ".join(f"{reason}: {n}" for reason, n in drops.items()) or "nothing"
    lead = f"{summary['clips']:,} clips; dropped: {dropped}."
    return [Section("data", "Data", lead, table(head, rows))]


def _split_cells(split: Mapping[str, Any]) -> list[str]:
    abilities = ", ".join(
        f"{name.split('/')[-1].replace('_', ' ')} {n}" for name, n in split["abilities"].items()
    )
    counts = [f"{split[key]:,}" for key in ("events", "replies", "silences")]
    return [f"{split['streams']:,}", number(split["hours"]), *counts, abilities]
