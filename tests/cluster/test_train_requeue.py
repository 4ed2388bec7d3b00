"""Training over two nodes on a real cluster: asked to make room, queued again, the same losses."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from soundflow.config.record import record
from soundflow.train.metrics import read_metrics
from soundflow.train.recipe import ComputeConfig
from tests.soundflow.small_run import small_run, update_rows

ROOT = Path(__file__).resolve().parents[2]
NODES, TASKS = 2, 2
SCRIPT = ROOT / "slurm" / "train.sbatch"
SBATCH = ["sbatch", f"--nodes={NODES}", f"--ntasks-per-node={TASKS}", "--cpus-per-task=1"]
UPDATES = 30
WAIT_S = 240

pytestmark = pytest.mark.slow


def test_a_run_that_makes_room_ends_with_the_same_losses(
    slurm: dict[str, str], tmp_path: Path
) -> None:
    """ZeRO-2 over 2 x 2 processes; SIGUSR1, as before the limit and at a pre-emption.

    An unbroken run over as many processes has the same losses, bit for bit.
    """
    environment = {**slurm, "SOUNDFLOW_VENV": str(Path(sys.executable).parents[1])}
    broken, log = _submitted("broken", environment, tmp_path)
    metrics = tmp_path / "broken" / "metrics.jsonl"
    _until(lambda: len(read_metrics(metrics)) >= 3, "the first updates", log)
    _run(["scancel", "--signal=USR1", broken], environment, tmp_path)
    unbroken, other_log = _submitted("unbroken", environment, tmp_path)
    _until(lambda: not _state(unbroken, environment), "the unbroken job to end", other_log)
    _until(lambda: not _state(broken, environment), "the job to end", log)

    text = log.read_text()
    assert "restarted 1 times" in text, text
    assert f"queueing job {broken} again" in text, text
    assert "Traceback" not in text, text
    assert "restarted 0 times" in other_log.read_text()
    for name in ("broken", "unbroken"):
        assert (tmp_path / name / "model").is_dir(), text
    got, want = update_rows(metrics), update_rows(tmp_path / "unbroken" / "metrics.jsonl")
    assert [row["update"] for row in want] == list(range(1, UPDATES + 1))
    assert got == want


def test_a_mistake_is_said_by_the_first_task_and_all_exit_with_2(
    slurm: dict[str, str], tmp_path: Path
) -> None:
    """Of the recipe, and of what is found before training: more threads than the node has."""
    environment = {**slurm, "SOUNDFLOW_VENV": str(Path(sys.executable).parents[1])}
    recipe = _recipe("refused", tmp_path)
    for wrong, said in (
        ("sedd=1", "error: refused.yaml: sedd: unknown key"),
        ("compute.threads=4000", "error: compute.threads=4000"),
    ):
        done = subprocess.run(
            [*SBATCH, "--wait", "--output=refused.log", SCRIPT, recipe.name, wrong],
            env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=WAIT_S,
        )  # fmt: skip
        text = (tmp_path / "refused.log").read_text()
        assert done.returncode == 2, text
        assert text.count(said) == text.count("hint: ") == 1, text
        assert set(re.findall(r"exit code (\d+)", text)) == {"2"}, text
        assert "Terminated" not in text, text
        assert "Killed" not in text, text
        (tmp_path / "refused.log").unlink()


def _recipe(name: str, folder: Path) -> Path:
    """Of a run in ``folder / name``."""
    compute = ComputeConfig(
        precision="fp32", threads=1, accelerator="cpu", nodes=NODES, devices=TASKS, strategy="zero2"
    )
    recipe = folder / f"{name}.yaml"
    record(recipe, small_run(folder, name, compute, UPDATES))
    return recipe


def _submitted(name: str, environment: dict[str, str], folder: Path) -> tuple[str, Path]:
    """The job that trains in ``folder / name``, and its log."""
    job = _run([*SBATCH, "--parsable", SCRIPT, _recipe(name, folder)], environment, folder)
    return job, folder / f"soundflow-train-{job}.log"


def _state(job: str, environment: dict[str, str]) -> str:
    done = subprocess.run(
        ["squeue", "--noheader", "--format=%T", f"--job={job}"],
        env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return done.stdout


def _run(command: Sequence[str | Path], environment: dict[str, str], folder: Path) -> str:
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
