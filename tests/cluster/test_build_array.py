"""The build as a job array on a real cluster: the bytes of one machine, with a task killed too."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from data_build.recipe import BuildRecipe
from data_build.run import build
from soundflow.config.load import load
from tests.data_build.small_recipe import fingerprints, write_recipe

ROOT = Path(__file__).resolve().parents[2]
TASKS, VICTIM = 8, 3
WAIT_S = 150

pytestmark = pytest.mark.slow


def test_an_array_with_a_killed_task_builds_the_same_bytes(
    slurm: dict[str, str], tmp_path: Path
) -> None:
    environment = {**slurm, "SOUNDFLOW_VENV": str(Path(sys.executable).parents[1])}
    recipe = write_recipe(tmp_path, tmp_path / "cluster")
    script = ROOT / "slurm" / "build.sbatch"
    smaller = "streams_per_shard=1"
    job = _run(
        ["sbatch", "--parsable", f"--array=0-{TASKS - 1}", "--cpus-per-task=1", script, recipe,
         smaller],
        environment, tmp_path,
    )  # fmt: skip
    first = tmp_path / "cluster" / "train" / f"{VICTIM:06d}.tar"
    _until(first.exists, "the first of the task's two shards")
    _run(["scontrol", "requeue", f"{job}_{VICTIM}"], environment, tmp_path)

    alone = load(
        write_recipe(tmp_path, tmp_path / "alone"), BuildRecipe, (smaller, "workers=1"),
        command="build-data",
    )  # fmt: skip
    build(alone)
    _until(lambda: not _states(job, environment), "the array to end")

    logs = {n: (tmp_path / f"soundflow-build-{job}_{n}.log").read_text() for n in range(TASKS)}
    assert "restarted 1 times" in logs[VICTIM], logs[VICTIM]
    nodes = {log.split(" on ")[1].split(",")[0] for log in logs.values()}
    assert len(nodes) > 1, "the array ran on one node alone"
    assert (tmp_path / "cluster" / "summary.json").is_file(), logs
    summary = json.loads((tmp_path / "cluster" / "summary.json").read_text())
    assert sum(s["streams"] for s in summary["splits"].values()) == 14
    assert fingerprints(tmp_path / "cluster") == fingerprints(tmp_path / "alone")


def _states(job: str, environment: dict[str, str], task: int | None = None) -> str:
    """The states of the tasks that have not ended yet."""
    name = job if task is None else f"{job}_{task}"
    done = subprocess.run(
        ["squeue", "--noheader", "--format=%T", f"--job={name}"],
        env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return done.stdout  # an array that is over may be unknown already: then there is none


def _run(command: list[str | Path], environment: dict[str, str], folder: Path) -> str:
    done = subprocess.run(
        command, env=environment, cwd=folder, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def _until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < deadline, f"waited {WAIT_S} s for {what}"
        time.sleep(0.3)
