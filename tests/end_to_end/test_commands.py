"""The commands as a person types them: a small quickstart from nothing to a report."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

ROOT = Path(__file__).resolve().parents[2]
QUICKSTART = ROOT / "recipes/quickstart"
SOUNDFLOW = (sys.executable, "-m", "soundflow.cli")
ENV = {**os.environ, "OMP_NUM_THREADS": "1"}


def soundflow(*words: str | Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [*SOUNDFLOW, *map(str, words)], capture_output=True, text=True, env=ENV, timeout=500
    )
    assert done.returncode == code, f"{words}\n{done.stdout}\n{done.stderr}"
    return done


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A quickstart of a few streams and updates; every test looks at what it left behind."""
    folder = tmp_path_factory.mktemp("quickstart")
    data = folder / "data"
    soundflow(
        "build-data", QUICKSTART / "build.yaml", f"output={data}", "streams_per_shard=8",
        *(f"splits.{name}.streams={n}" for name, n in (("train", 24), ("valid", 8), ("test", 10))),
        *(f"splits.{name}.voices=2" for name in ("train", "valid", "test")),
        *(f"splits.{name}.takes=2" for name in ("train", "valid", "test")),
    )  # fmt: skip
    soundflow(
        "train", QUICKSTART / "train.yaml", f"data.sources.0.folder={data}", f"output={folder}",
        "optim.updates=4", "data.global_batch_size=4",
        "intervals.validate_every=2", "intervals.save_every=2",
    )  # fmt: skip
    soundflow(
        "evaluate", QUICKSTART / "evaluate.yaml", f"checkpoint={folder / 'model'}",
        f"timing.data={data}", f"output={folder / 'evaluation'}", "timing.thresholds=[0.1,0.5]",
        f"report.training_metrics={folder / 'metrics.jsonl'}",
        f"report.data_summary={data / 'summary.json'}",
    )  # fmt: skip
    return folder


@pytest.mark.slow
def test_the_chain_leaves_data_a_checkpoint_and_a_report(run: Path) -> None:
    summary = json.loads((run / "data/summary.json").read_text())
    assert summary["splits"]["train"]["streams"] == 24
    assert (run / "model/model.safetensors").is_file()
    results = json.loads((run / "evaluation/results.json").read_text())
    systems = results["timing"]["systems"]["2.0"]
    assert {"model", "never", "always", "random"} < set(systems)
    assert systems["never"]["recall"]["value"] == 0.0
    report = (run / "evaluation/report.html").read_text()
    assert report.count("<html") == 1
    assert 'src="http' not in report
    assert 'href="http' not in report


@pytest.mark.slow
def test_a_checkpoint_listens_to_a_held_out_stream(run: Path) -> None:
    heard = soundflow("infer", run / "model", f"{run}/data/test#0", "--json").stdout.splitlines()
    events = [json.loads(line) for line in heard]
    decided = [e for e in events if e["event"] == "decided"]
    assert [e["chunk"] for e in decided] == list(range(len(decided)))
    assert all(0.0 <= e["p_response"] <= 1.0 for e in decided)
    transcript = soundflow("infer", run / "model", f"{run}/data/test#0").stdout
    assert "LISTENING" in transcript


@pytest.mark.slow
def test_the_same_command_again_is_free(run: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in (run / "data").rglob("*.tar")}
    done = soundflow("build-data", run / "data/recipe.yaml", "--json")
    assert json.loads(done.stdout)["shards_made"] == 0
    assert {p: p.stat().st_mtime_ns for p in (run / "data").rglob("*.tar")} == before


@pytest.mark.slow
def test_mistakes_end_with_code_2_and_one_line(run: Path, tmp_path: Path) -> None:
    noise = tmp_path / "noise.wav"
    noise.write_bytes(b"not audio at all")
    quiet = tmp_path / "quiet.wav"
    soundfile.write(quiet, np.full(16_000, 0.01), 16_000)
    for words, said in [
        (("infer", run / "model", tmp_path / "missing.wav"), "missing.wav: no such file"),
        (("infer", run / "model", noise), "noise.wav: cannot be decoded"),
        (("infer", run / "model"), "no audio was named"),
        (("infer", tmp_path / "nowhere", quiet), "nowhere"),
        (("train", tmp_path / "nothing.yaml"), "nothing.yaml: no such recipe"),
        (
            (
                "train",
                QUICKSTART / "train.yaml",
                f"data.sources.0.folder={tmp_path}",
                f"output={tmp_path}",
            ),
            "run `soundflow build-data`",
        ),
    ]:
        error = soundflow(*words, code=2).stderr
        assert said in error
        assert "Traceback" not in error


@pytest.mark.slow
def test_an_interrupted_build_ends_with_code_130_and_goes_on(run: Path, tmp_path: Path) -> None:
    words = [
        "build-data", str(run / "data/recipe.yaml"), f"output={tmp_path}/data",
        "splits.train.streams=400",
    ]  # fmt: skip
    process = subprocess.Popen(
        [*SOUNDFLOW, *words], stderr=subprocess.PIPE, text=True, env=ENV,
        # A suite started in the background inherits an ignored SIGINT; a person's shell has not.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("data/train/*.json")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=120)
    assert process.returncode == 130, error
    assert not (tmp_path / "data/train/index.json").exists()
    assert not list(tmp_path.rglob("*.partial"))
