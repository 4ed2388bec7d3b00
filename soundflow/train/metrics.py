"""The files that a run adds lines to as it goes: metrics, and what validations said and chose.

A resumed run first drops the lines past the update it resumes from (`keep_until`), so the files
read like those of an unbroken run.
"""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

from soundflow.atomic import disk_error, write_text
from soundflow.stored_json import finished_lines

FILE_NAME = "metrics.jsonl"
TRANSCRIPTS, CALIBRATIONS = "transcripts.jsonl", "calibrations.jsonl"
TRAIN, VALID = "train/", "valid/"
SPEED = "speed/"  # differs from run to run, as everything else does not
BF16 = f"{TRAIN}bf16"  # whether an update was computed in bfloat16


class JsonlLogger(Logger):
    """One JSON object a line: ``{"update": 40, "train/loss": 1.2, ...}``; resuming reads it."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.path = folder / FILE_NAME

    @property
    def name(self) -> str:
        return "jsonl"

    @property
    def version(self) -> str:
        return ""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        append_lines(self.path, [{"update": step, **metrics}])

    def log_hyperparams(
        self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any
    ) -> None:
        """The recipe lies beside the file already."""

    @rank_zero_only
    def keep_until(self, update: int) -> None:
        """Drops the lines of all files past ``update``; all of them where it is 0.

        What a validation said and chose is dropped too if it ended before its figures were written.
        """
        keep_until(self.path, update)
        measured_at, _ = newest_measurement(self.path)
        for name in (TRANSCRIPTS, CALIBRATIONS):
            path = self.path.with_name(name)
            if path.exists():
                keep_until(path, measured_at)


def append_lines(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Adds rows to a file of JSON lines.

    Raises:
        UserError: if the disk is full.
    """
    try:
        with path.open("a") as file:
            file.write("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    except OSError as error:
        raise disk_error(error, path) from error


def keep_until(path: Path, update: int) -> None:
    """Drops the rows past ``update``; all of them where it is 0.

    Rows rise, so only the dropped ones are parsed: a resume costs the same late in a run.
    """
    lines = finished_lines(path)
    while lines and not (update and json.loads(lines[-1])["update"] <= update):
        lines.pop()
    write_text(path, b"".join(lines).decode())


def newest_measurement(path: Path, until: int | None = None) -> tuple[int, dict[str, float]]:
    """The update of the last held-out figures and the figures; 0 and none where there are none.

    Args:
        until: later updates do not count; None: all do.
    """
    for row in _newest_first(path):
        if until is not None and row["update"] > until:
            continue
        found = {k.removeprefix(VALID): v for k, v in row.items() if k.startswith(VALID)}
        if found:
            return row["update"], found
    return 0, {}


def newest_calibration(output: Path, until: int) -> dict[str, Any] | None:
    """The threshold that the last validation up to an update chose, with how it was chosen."""
    rows = _newest_first(output / CALIBRATIONS)
    return next((row for row in rows if row["update"] <= until), None)


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of such a file; a last line cut short by a crash is left out."""
    return [json.loads(line) for line in finished_lines(path)]


def _newest_first(path: Path) -> Iterator[dict[str, Any]]:
    return (json.loads(line) for line in reversed(finished_lines(path)))
