"""What `soundflow train` shows at the end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from soundflow.commands import training
from soundflow.logs import OUT
from soundflow.train.run import TrainResult


def test_the_figures_of_all_validations_fit_into_80_columns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    known = {**training.COLUMNS, **training.TIMING, "decision_accuracy": "", "event_failures": ""}
    figures = {f"valid/{name}": 1234.567 if "per_hour" in name else 0.9876 for name in known}
    tasks = {f"valid/task/{t}/{k}": 1.5 for t in ("asr", "chat") for k in ("loss_stream", "loss")}
    metrics = tmp_path / "metrics.jsonl"
    row = {"update": 80_000, **figures, **tasks}
    metrics.write_text(json.dumps(row) + "\n")
    monkeypatch.setattr(OUT, "_width", 80)
    training.show(TrainResult(tmp_path / "model", metrics, 80_000, 10, "bf16", 1, 9.0, 0, {}))
    said = capsys.readouterr().out
    assert "could not be decoded: 1;" in said
    tables = said[: said.index("M parameters")]
    assert "…" not in tables
    assert max(map(len, map(str.rstrip, tables.splitlines()))) <= 80
    for value in ("80000", "1234.57", "0.99", "0.9876", "1.500"):
        assert value in tables
