"""The way of docs/finetuning.md, from a checkpoint in the published layout, at small size."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from soundflow.cli import main

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_a_release_is_fine_tuned_and_heard(
    shared: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = [json.loads(line) for line in (shared / "data/manifest.jsonl").open()]
    speech = [row for row in rows if row["kind"] == "speech" and row.get("language") == "en"][:12]
    (tmp_path / "recordings").mkdir()
    with (tmp_path / "recordings/manifest.jsonl").open("w") as manifest:
        for row in speech:
            path = str(shared / "data" / row["path"])
            manifest.write(
                json.dumps({"path": path, "text": row["text"], "id": row["path"]}) + "\n"
            )
    shutil.copytree(ROOT / "recipes", tmp_path / "recipes")
    monkeypatch.chdir(tmp_path)
    assert main(["convert", str(shared / "goldens/ckpt"), "runs/base"]) == 0
    assert main([
        "build-data", "recipes/build/finetune.yaml",
        "splits.train.streams=4", "splits.valid.streams=2", "workers=1",
    ]) == 0  # fmt: skip
    assert main([
        "train", "recipes/train/finetune.yaml", "data.global_batch_size=2", "optim.updates=2",
        "intervals.validate_every=2", "intervals.save_every=2", "compute.accelerator=cpu",
        "compute.threads=1",
    ]) == 0  # fmt: skip
    capsys.readouterr()
    audio = str(shared / "data" / speech[0]["path"])
    assert main(["infer", "runs/finetuned/model", audio, "--json"]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert events
    assert main(["convert", "runs/finetuned/model", "runs/out", "to=release"]) == 0
