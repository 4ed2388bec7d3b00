"""The page of a training run: curves, the last validation, what the model said, its origin."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from soundflow.output import read_output
from soundflow.report.markup import MISSING, join, number, percent, table, tag, tiles
from soundflow.report.page import Section, write_page
from soundflow.report.training import training_section
from soundflow.train.claim import RECIPE_FILE, REPORT_FILE
from soundflow.train.held_out import TASK
from soundflow.train.metrics import (
    FILE_NAME,
    SPEED,
    TRANSCRIPTS,
    newest_measurement,
    read_metrics,
)
from soundflow.train.provenance import PROVENANCE_FILE

_SHOWN = 100  # transcripts
_MOST_TELLING = ("failed", "miss", "stray", "repeat", "early", "hit")


def write_training_report(output: Path) -> Path:
    """Writes the page from the files of a run, whatever it has come to.

    Raises:
        UserError: if the folder cannot be written.
    """
    path = output / REPORT_FILE
    update, found = newest_measurement(output / FILE_NAME)
    rows = read_metrics(output / FILE_NAME)
    sections = [
        *_headline(update, found),
        *_progress(rows, _updates(output)),
        *training_section(rows),
        *_decisions(update, found),
        *_tasks(update, found),
        *_transcripts(update, read_metrics(output / TRANSCRIPTS)),
        _origin(output),
    ]
    write_page(path, "Training", str(output), sections)
    return path


def _headline(update: int, found: Mapping[str, float]) -> list[Section]:
    if not found:
        return []
    error = found.get("event_f1_se")
    items = [
        ("live F1", number(found.get("event_f1")), f"± {number(error)} standard error"),
        ("false triggers", number(found.get("event_false_per_hour"), 1), "an hour"),
        ("latency", number(found.get("event_latency_p50_s")), "s, median"),
        ("replies exact", percent(found.get("event_reply_exact")), "of the events"),
        ("held-out loss", number(found.get("loss"), 3), "nats"),
        ("threshold", number(found.get("event_threshold")), "speaks from this probability"),
    ]
    lead = f"The validation after update {update:,}."
    return [Section("headline", "Last validation", lead, tiles(items))]


def _progress(rows: Sequence[Mapping[str, Any]], of: int | None) -> list[Section]:
    """How far the run is and how fast, by the newest row that says it.

    Args:
        of: updates of the whole run; None where that is not known.
    """
    newest = next((row for row in reversed(rows) if f"{SPEED}tokens_per_s" in row), None)
    if newest is None:
        return []
    now = {k.removeprefix(SPEED): v for k, v in newest.items() if k.startswith(SPEED)}
    items = [
        ("updates", number(newest["update"], 0), "" if of is None else f"of {of:,}"),
        ("time left", str(timedelta(seconds=round(now["left_s"]))), "without validations"),
        ("useful tokens", number(now["tokens_per_s"], 0), "a second, all devices"),
        ("waiting for data", percent(now["data_wait"]), "of the time"),
        ("peak memory", number(now["peak_memory_gb"], 1), "GB, first process"),
    ]
    if "mfu" in now:
        items.insert(3, ("MFU", percent(now["mfu"]), "of the peak in bf16"))
    return [Section("progress", "Progress", "At the newest line of the metrics.", tiles(items))]


def _updates(output: Path) -> int | None:
    """Of the whole run; None where its settings are not noted."""
    noted = read_output(output)
    return None if noted is None else int(noted.settings["optim"]["updates"])


def _tasks(update: int, found: Mapping[str, float]) -> list[Section]:
    parts = ("loss", "loss_stream", "loss_reply")
    tasks = sorted({k.removeprefix(TASK).rsplit("/", 1)[0] for k in found if k.startswith(TASK)})
    if not tasks:
        return []
    rows = [[task, *(number(found.get(f"{TASK}{task}/{p}"), 3) for p in parts)] for task in tasks]
    lead = f"Teacher-forced, in nats, after update {update:,}."
    head = ["task", "loss", "decisions", "replies"]
    return [Section("tasks", "Held-out loss by task", lead, table(head, rows))]


def _decisions(update: int, found: Mapping[str, float]) -> list[Section]:
    counts = {name: found.get(f"decision_{name}") for name in ("tp", "fn", "fp", "tn")}
    if None in counts.values():
        return []

    def cell(name: str) -> str:
        return number(counts[name], 0)

    rows = [["should speak", cell("tp"), cell("fn")], ["should be silent", cell("fp"), cell("tn")]]
    lead = f"Teacher-forced, at even odds, after update {update:,}."
    return [Section("decisions", "Decisions", lead, table(["", "speaks", "is silent"], rows))]


def _transcripts(update: int, lines: Sequence[Mapping[str, Any]]) -> list[Section]:
    newest = [line for line in lines if line["update"] == update]
    if not newest:
        return []
    newest.sort(key=lambda line: _MOST_TELLING.index(line["verdict"]))
    rows = [
        [line["stream"], line["verdict"], number(line["at_s"], 1), line["wanted"] or MISSING,
         line["said"] or MISSING]
        for line in newest[:_SHOWN]
    ]  # fmt: skip
    lead = f"What the model said in live decoding; {len(rows)} of {len(newest)}, mistakes first."
    head = ["stream", "verdict", "at s", "wanted", "said"]
    return [Section("transcripts", "Transcripts", lead, table(head, rows, words=4))]


def _origin(output: Path) -> Section:
    about = [f"# {PROVENANCE_FILE}", _text(output / PROVENANCE_FILE)]
    recipe = [f"# {RECIPE_FILE}", _text(output / RECIPE_FILE)]
    body = join(tag("pre", "\n".join(part)) for part in (about, recipe))
    return Section("origin", "Origin", "Code, data and settings of the run.", body)


def _text(path: Path) -> str:
    if not path.is_file():
        return MISSING
    text = path.read_text()
    return json.dumps(json.loads(text), indent=1) if path.suffix == ".json" else text
