"""Recall against false triggers over the speak threshold, and the choice of one (protocol 1.5)."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inference.engine import CALIBRATION_FILE, UNCALIBRATED_THRESHOLD
from inference.evaluate.metrics import Metrics
from soundflow.atomic import write_text

HEADLINE_FALSE_PER_HOUR = (0.5, 2.0)


def logit_grid(n: int = 11, widest: float = 5.0) -> tuple[float, ...]:
    """Thresholds evenly spaced in log-odds around 0.5, to resolve a confident model."""
    steps = [widest * (2.0 * i / (n - 1) - 1.0) for i in range(n)]
    return tuple(1.0 / (1.0 + math.exp(-s)) for s in steps)


@dataclass(frozen=True)
class Calibration:
    """The threshold chosen on a held-out split, and why.

    ``f1`` is None where the split holds nothing to answer; the threshold is 0.5 then.
    """

    threshold: float
    f1: float | None
    split: str
    n_streams: int


def calibrate(curve: Mapping[float, Metrics], split: str, n_streams: int) -> Calibration:
    """The best F1; among equals the middle one, farthest from where it begins to fall."""
    scored = {t: m["f1"].value for t, m in sorted(curve.items()) if m["f1"].value is not None}
    values = [v for v in scored.values() if v is not None]
    if not values:
        return Calibration(UNCALIBRATED_THRESHOLD, None, split, n_streams)
    best = max(values)
    ties = [t for t, v in scored.items() if v == best]
    return Calibration(ties[len(ties) // 2], best, split, n_streams)


def calibration_folder(checkpoint: Path, output: Path) -> Path:
    """Where a calibration can be stored: beside the weights, else in the output.

    Tested by writing, since permissions do not show a read-only disk.
    """
    try:
        with tempfile.TemporaryFile(dir=checkpoint):
            return checkpoint
    except OSError:
        return output


def store(calibration: Calibration, folder: Path, data_fingerprint: str) -> Path:
    """Writes the calibration; sessions read their threshold from the checkpoint folder.

    Args:
        data_fingerprint: `ShardSet.content_hash` of the split that it was chosen on.
    """
    path = folder / CALIBRATION_FILE
    data = {**vars(calibration), "data_fingerprint": data_fingerprint}
    write_text(path, json.dumps(data, indent=1, sort_keys=True))
    return path


def recall_at(curve: Mapping[float, Metrics], false_per_hour: float) -> float | None:
    """The best recall of the points with at most so many false triggers an hour."""
    reached = [
        m["recall"].value
        for m in curve.values()
        if m["recall"].value is not None
        and m["false_per_hour"].value is not None
        and m["false_per_hour"].value <= false_per_hour
    ]
    return max((r for r in reached if r is not None), default=None)


def to_json(curve: Mapping[float, Metrics]) -> list[dict[str, Any]]:
    names: Sequence[str] = (
        "recall", "precision", "f1", "false_per_hour", "false_per_hour_negative",
    )  # fmt: skip
    return [
        {"threshold": t, **{n: m[n].to_json() for n in names}} for t, m in sorted(curve.items())
    ]
