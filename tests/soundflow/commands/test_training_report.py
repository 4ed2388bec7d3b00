"""The page of a run shows what its files hold, also of one that has hardly begun."""

from __future__ import annotations

import json
from pathlib import Path

from soundflow.commands.training_report import write_training_report


def test_the_page_holds_curves_decisions_transcripts_and_origin(tmp_path: Path) -> None:
    counts = {"valid/decision_tp": 41, "valid/decision_fp": 42, "valid/decision_fn": 43,
              "valid/decision_tn": 44}  # fmt: skip
    metrics = [
        {"update": 1, "train/loss": 3.0, "train/grad_norm": 1.0, "speed/peak_memory_gb": 0.5,
         "speed/tokens_per_s": 1234.0, "speed/data_wait": 0.02, "speed/left_s": 3661.0},
        {
            "update": 2,
            "valid/loss": 2.0,
            "valid/event_f1": 0.75,
            "valid/event_f1_se": 0.05,
            "valid/task/count_sounds/loss_stream": 0.123,
            **counts,
        },
    ]  # fmt: skip
    said = [
        {
            "update": 2,
            "stream": "s1",
            "verdict": "hit",
            "at_s": 1.2,
            "wanted": "A dog.",
            "said": "<b>A dog.</b>",
        },
        {
            "update": 2,
            "stream": "s2",
            "verdict": "miss",
            "at_s": 3.0,
            "wanted": "A cat.",
            "said": "",
        },
        {"update": 1, "stream": "old", "verdict": "miss", "at_s": 3.0, "wanted": "x", "said": ""},
    ]
    for name, rows in (("metrics.jsonl", metrics), ("transcripts.jsonl", said)):
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "provenance.json").write_text('{"git": {"commit": "c0ffee", "changed": []}}')
    (tmp_path / "train.yaml").write_text("seed: 7\n")
    page = write_training_report(tmp_path).read_text()
    for part in ("0.75", "± 0.05", "Gradient norm", "Peak memory", "should be silent", "c0ffee",
                 "seed: 7", "A cat.", "&lt;b&gt;A dog.", "1,234", "1:01:01", "count_sounds",
                 "0.123"):  # fmt: skip
        assert part in page, part
    assert all(f">{n}<" in page for n in range(41, 45))
    assert ">1.8<" not in page, "a single validation has the range of the run"
    assert "old" not in page.split("Transcripts")[-1].split("Origin")[0]
    assert page.index("A cat.") < page.index("A dog.&lt;"), "mistakes first"
    assert "http://" not in page.replace("http://www.w3.org", ""), "nothing from elsewhere"


def test_a_run_that_has_hardly_begun(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"update": 1, "train/loss": 3.0}\n')
    assert "Loss" in write_training_report(tmp_path).read_text()
