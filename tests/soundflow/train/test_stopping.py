"""A run that is asked to stop saves its state and ends; the same command goes on from there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from soundflow.config.record import record
from soundflow.errors import Stopped
from soundflow.model.weights import load_checkpoint
from soundflow.train.checkpoints import newest_state
from soundflow.train.metrics import read_metrics
from soundflow.train.module import StreamingModule
from soundflow.train.optim import OptimConfig
from soundflow.train.recipe import TrainRecipe
from soundflow.train.run import run
from soundflow.train.stopping import stop_flag
from tests.soundflow.small_run import reproducible

Recipes = Callable[..., TrainRecipe]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_checkpoint(folder).model.state_dict()


def signalled_in(
    update: int, number: int, recipe: TrainRecipe, monkeypatch: pytest.MonkeyPatch
) -> Stopped:
    """Runs, and is sent a signal in the middle of an update (counted from 1)."""
    step = StreamingModule.training_step

    def interrupted(self: StreamingModule, batches: tuple, index: int) -> None:
        step(self, batches, index)
        if self.updates == update:
            os.kill(os.getpid(), number)

    with monkeypatch.context() as patch:
        patch.setattr(StreamingModule, "training_step", interrupted)
        with pytest.raises(Stopped) as caught:
            run(recipe)
    return caught.value


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_the_same_command_goes_on(
    recipe: Recipes, monkeypatch: pytest.MonkeyPatch, number: int, capfd: pytest.CaptureFixture[str]
) -> None:
    base = recipe("whole")
    rare = replace(base.intervals, save_every=100)
    unbroken = run(replace(base, intervals=rare))
    broken = replace(base, output=base.output.with_name("broken"), intervals=rare)
    before = signal.getsignal(number)
    stop = signalled_in(3, number, broken, monkeypatch)
    assert signal.getsignal(number) == before
    assert stop.number == number
    assert "after update 4 of 6 is saved" in stop.message
    assert "resumes at update 5" in stop.message
    state = newest_state(broken.output)
    assert state is not None
    assert state.update == 4
    capfd.readouterr()
    resumed = run(broken)
    assert "resuming at update 5 of 6" in capfd.readouterr().err
    want, got = weights(unbroken.model_folder), weights(resumed.model_folder)
    assert all(torch.equal(want[name], got[name]) for name in want)
    assert reproducible(resumed.metrics_file) == reproducible(unbroken.metrics_file)


def test_a_measurement_that_was_due_happens_on_resume(
    recipe: Recipes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Update 3 is measured; the run ends between its state and its measurement."""
    signalled_in(2, signal.SIGTERM, recipe(), monkeypatch)
    measured = [r["update"] for r in read_metrics(recipe().output / "metrics.jsonl") if _held(r)]
    assert measured == []
    result = run(recipe())
    assert result.resumed_at == 3
    assert [r["update"] for r in read_metrics(result.metrics_file) if _held(r)] == [3, 6]
    unbroken = run(recipe("whole"))
    assert reproducible(result.metrics_file) == reproducible(unbroken.metrics_file)


def test_before_the_first_update_nothing_is_lost(
    recipe: Recipes, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr("soundflow.train.run.start", interrupted)
        with pytest.raises(Stopped, match="no state was saved"):
            run(recipe())
    run(recipe())
    assert "starting at update 1" in capfd.readouterr().err


def test_a_second_ctrl_c_does_not_wait() -> None:
    with stop_flag(first_process=True) as flag:
        flag.wait_for_updates()
        os.kill(os.getpid(), signal.SIGINT)
        assert flag.asked == signal.SIGINT
        with pytest.raises(Stopped):
            os.kill(os.getpid(), signal.SIGINT)


def test_a_signal_that_follows_does_not_interrupt_the_save() -> None:
    """SLURM sends SIGTERM seconds after SIGUSR1."""
    with stop_flag(first_process=True) as flag:
        flag.wait_for_updates()
        os.kill(os.getpid(), signal.SIGUSR1)
        os.kill(os.getpid(), signal.SIGTERM)
        assert flag.asked == signal.SIGTERM


def test_another_process_than_the_first_never_leaves_alone() -> None:
    with stop_flag(first_process=False) as flag:
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGTERM)
        flag.stop_at_once()
        assert flag.asked == signal.SIGTERM


def _held(row: dict) -> bool:
    return any(key.startswith("valid/") for key in row)


@pytest.mark.slow
@pytest.mark.parametrize("whom", ["first", "second", "all"])
def test_two_processes_leave_together(recipe: Recipes, tmp_path: Path, whom: str) -> None:
    base = recipe("two", optim=OptimConfig(updates=100_000))
    rare = replace(base.intervals, save_every=100_000, validate_every=100_000)
    base = replace(base, compute=replace(base.compute, devices=2), intervals=rare)
    with started(tmp_path, base) as group:
        _until(lambda: len(read_metrics(base.output / "metrics.jsonl")) > 3)
        (second,) = _children(group.pid)
        if whom == "all":
            os.killpg(group.pid, signal.SIGTERM)
        else:
            os.kill(group.pid if whom == "first" else second, signal.SIGTERM)
        _, err = group.communicate(timeout=120)
        assert group.returncode == 143
        assert err.count("is saved: the same command resumes") == 1
        assert "Traceback" not in err
        assert newest_state(base.output) is not None
        assert not Path(f"/proc/{second}").exists()


POISONED = """
import sys
from soundflow.cli import main
from soundflow.train.module import StreamingModule

forward = StreamingModule.forward

def poisoned(self, batch):
    stream, reply = forward(self, batch)
    return stream * (float("nan") if self.updates == 2 and self.engine.rank == 1 else 1.0), reply

StreamingModule.forward = poisoned
if __name__ == "__main__":
    sys.exit(main(["train", sys.argv[1]]))
"""


@pytest.mark.slow
def test_one_rank_with_a_loss_that_is_not_finite_stops_all(recipe: Recipes, tmp_path: Path) -> None:
    base = recipe("two")
    compute = replace(base.compute, devices=2, strategy="zero2")
    base = replace(base, compute=compute, intervals=replace(base.intervals, save_every=1))
    (tmp_path / "poisoned.py").write_text(POISONED)
    with started(tmp_path, base, str(tmp_path / "poisoned.py")) as group:
        _, err = group.communicate(timeout=120)
        assert group.returncode == 2
        told = "update 3: its loss or gradient is not finite on rank 1 of 2"
        assert told in err.replace("\n", " ")
        assert "streams: " in err
        assert "Traceback" not in err
        state = newest_state(base.output)
        assert state is not None
        assert state.update == 2


@contextmanager
def started(tmp_path: Path, recipe: TrainRecipe, *program: str) -> Iterator[subprocess.Popen[str]]:
    """A run in a process group of its own; whatever is left of it at the end is killed."""
    record(tmp_path / "two.yaml", recipe)
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *(program or ("-m", "soundflow.cli", "train"))]
    group = subprocess.Popen(
        [*command, str(tmp_path / "two.yaml")],
        env=env, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        yield group
    finally:
        with suppress(ProcessLookupError):
            os.killpg(group.pid, signal.SIGKILL)


def _until(condition: Callable[[], bool], limit_s: float = 120.0) -> None:
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, "the run did not come that far"
        time.sleep(0.1)


def _children(pid: int) -> list[int]:
    listed = subprocess.run(["ps", "-o", "pid=,args=", "--ppid", str(pid)],
                            capture_output=True, text=True, check=True).stdout  # fmt: skip
    return [int(line.split()[0]) for line in listed.splitlines() if "soundflow" in line]
