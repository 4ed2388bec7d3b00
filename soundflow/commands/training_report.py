"""The page of a training run: curves, the last validation, what the model said, its origin."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from inference.evaluate.report.origin import training_section
from soundflow.report.markup import MISSING, join, number, percent, table, tag, tiles
from soundflow.report.page import Section, write_page
from soundflow.train.claim import RECIPE_FILE, REPORT_FILE
from soundflow.train.metrics import (
    FILE_NAME,
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
    sections = [
        *_headline(update, found),
        *training_section(output / FILE_NAME),
        *_decisions(update, found),
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
        ("held-out loss", number(found.get("loss")), "nats"),
    ]
    lead = f"The validation after update {update:,}."
    return [Section("headline", "Last validation", lead, tiles(items))]


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
