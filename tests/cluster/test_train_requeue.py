"""Training over two nodes on a real cluster: asked to make room, queued again, the same losses."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from soundflow.config.record import record
from soundflow.train.metrics import read_metrics
from soundflow.train.recipe import ComputeConfig
from soundflow.train.run import run
from tests.soundflow.small_run import small_run, update_rows

ROOT = Path(__file__).resolve().parents[2]
NODES, TASKS = 2, 2
UPDATES = 30
WAIT_S = 240

pytestmark = pytest.mark.slow


def test_a_run_that_makes_room_ends_with_the_same_losses(
    slurm: dict[str, str], tmp_path: Path
) -> None:
    """ZeRO-2 over 2 x 2 processes; SIGUSR1, as before the limit and at a pre-emption."""
    one = ComputeConfig(precision="fp32", threads=1, accelerator="cpu")
    four = replace(one, nodes=NODES, devices=TASKS, strategy="zero2")
    recipe = small_run(tmp_path, "cluster", four, UPDATES)
    record(tmp_path / "train.yaml", recipe)
    environment = {**slurm, "SOUNDFLOW_VENV": str(Path(sys.executable).parents[1])}
    job = _run(
        ["sbatch", "--parsable", f"--nodes={NODES}", f"--ntasks-per-node={TASKS}",
         "--cpus-per-task=1", ROOT / "slurm" / "train.sbatch", tmp_path / "train.yaml"],
        environment, tmp_path,
    )  # fmt: skip
    log = tmp_path / f"soundflow-train-{job}.log"
    metrics = recipe.output / "metrics.jsonl"
    _until(lambda: len(read_metrics(metrics)) >= 3, "the first updates", log)
    _run(["scancel", "--signal=USR1", job], environment, tmp_path)
    unbroken = run(small_run(tmp_path, "alone", one, UPDATES))
    _until(lambda: not _state(job, environment), "the job to end", log)

    text = log.read_text()
    assert "restarted 1 times" in text, text
    assert f"the state is saved: queueing job {job} again" in text, text
    assert "Traceback" not in text, text
    assert (recipe.output / "model").is_dir(), text
    want, got = update_rows(unbroken.metrics_file), update_rows(metrics)
    assert [row["update"] for row in got] == [row["update"] for row in want]
    for a, b in zip(want, got, strict=True):
        assert b == pytest.approx(a, rel=1e-4, abs=1e-5), a["update"]


def _state(job: str, environment: dict[str, str]) -> str:
    done = subprocess.run(
        ["squeue", "--noheader", "--format=%T", f"--job={job}"],
        env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return done.stdout


def _run(command: list[str | Path], environment: dict[str, str], folder: Path) -> str:
    done = subprocess.run(
        command, env=environment, cwd=folder, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def _until(holds: Callable[[], bool], what: str, log: Path) -> None:
    deadline = time.monotonic() + WAIT_S
    while not holds():
        told = log.read_text()[-3000:] if log.is_file() else ""
        assert time.monotonic() < deadline, f"waited {WAIT_S} s for {what}\n{told}"
        time.sleep(0.3)
