"""A run that is asked to stop saves its state and ends; the same command goes on from there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from soundflow.config.record import record
from soundflow.data.batch import Batch
from soundflow.errors import Stopped
from soundflow.forms.load_any import load_any
from soundflow.signals import raised_signals
from soundflow.train.checkpoints import newest_state
from soundflow.train.metrics import read_metrics
from soundflow.train.module import StreamingModule
from soundflow.train.recipe import OptimConfig, TrainRecipe
from soundflow.train.run import run
from soundflow.train.stopping import stop_flag
from tests.soundflow.small_run import reproducible
from tests.soundflow.train.two_ranks import started, train_command

Recipes = Callable[..., TrainRecipe]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_any(folder).model.state_dict()


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
    stop = signalled_in(4, number, broken, monkeypatch)
    assert signal.getsignal(number) == before
    assert stop.number == number
    assert "after update 5 of 6 is saved" in stop.message
    assert "resumes at update 6" in stop.message
    state = newest_state(broken.output)
    assert state is not None
    assert state.update == 5
    capfd.readouterr()
    resumed = run(broken)
    assert "resuming at update 6 of 6" in capfd.readouterr().err
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


def test_a_warning_that_came_while_the_command_started_is_obeyed(recipe: Recipes) -> None:
    here = threading.get_ident()  # the threads of a test runner hold nothing back
    with raised_signals():
        signal.pthread_kill(here, signal.SIGUSR1)
        with pytest.raises(Stopped, match="after update 1 of 6 is saved") as caught:
            run(recipe())
        assert caught.value.number == signal.SIGUSR1
        signal.pthread_kill(here, signal.SIGUSR1)  # the work is done: nobody dies of it


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


def test_what_nohup_ignores_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop_flag(first_process=True) as flag:
            flag.wait_for_updates()
            os.kill(os.getpid(), signal.SIGHUP)
            assert flag.asked is None
    finally:
        signal.signal(signal.SIGHUP, before)


def test_another_process_than_the_first_never_leaves_alone() -> None:
    with stop_flag(first_process=False) as flag:
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGTERM)
        flag.stop_at_once()
        assert flag.asked == signal.SIGTERM


def _held(row: dict) -> bool:
    return any(key.startswith("valid/") for key in row)


@pytest.mark.slow
def test_two_processes_leave_together_each_time(recipe: Recipes, tmp_path: Path) -> None:
    """One run, stopped and resumed over and over; whichever rank is asked, all save and leave."""
    base = endless(recipe("two"))
    reached = 0
    for whom in ([0], [1], [0, 1], [1, 0], [0, 1], [1], [0], [0, 1], [1, 0], [0, 1]):
        with started(base, tmp_path) as ranks:
            _until(lambda after=reached + 1: _newest_update(base) > after)
            for rank in whom:
                ranks.signal(rank, signal.SIGTERM)
            assert ranks.wait() == [143, 0], "the first speaks for all"
        state = newest_state(base.output)
        assert state is not None
        assert state.update >= reached + 2
        reached = state.update
    said = (tmp_path / "two.log").read_text()
    assert said.count("is saved: the same command resumes") == 10
    assert "Traceback" not in said


@pytest.mark.slow
def test_the_command_ends_the_processes_that_it_started(recipe: Recipes, tmp_path: Path) -> None:
    """A signal to the whole group, as a terminal sends it."""
    base = endless(recipe("two"))
    record(tmp_path / "two.yaml", base)
    with subprocess.Popen(
        [sys.executable, "-m", "soundflow.cli", "train", str(tmp_path / "two.yaml")],
        env={**os.environ, "OMP_NUM_THREADS": "1"}, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    ) as group:  # fmt: skip
        try:
            _until(lambda: _newest_update(base) > 3)
            (second,) = _children(group.pid)
            os.killpg(group.pid, signal.SIGTERM)
            _, err = group.communicate(timeout=120)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(group.pid, signal.SIGKILL)
    assert group.returncode == 143
    assert err.count("is saved: the same command resumes") == 1
    assert "Traceback" not in err
    assert newest_state(base.output) is not None
    assert not Path(f"/proc/{second}").exists()


def endless(recipe: TrainRecipe) -> TrainRecipe:
    """Two ranks that neither save nor measure before they are asked to stop."""
    never = 100_000
    intervals = replace(recipe.intervals, save_every=never, validate_every=never)
    compute = replace(recipe.compute, devices=2)
    optim = OptimConfig(updates=never)
    return replace(recipe, compute=compute, intervals=intervals, optim=optim)


def _newest_update(recipe: TrainRecipe) -> int:
    rows = read_metrics(recipe.output / "metrics.jsonl")
    return int(rows[-1]["update"]) if rows else 0


def poisoned(recipe: Path) -> int:
    """`soundflow train`, whose second rank has a loss that is no number in the third update."""
    forward = StreamingModule.forward

    def spoilt(self: StreamingModule, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        stream, reply = forward(self, batch)
        here = self.updates == 2 and self.engine.rank == 1
        return stream * (float("nan") if here else 1.0), reply

    StreamingModule.forward = spoilt  # type: ignore[method-assign]
    return train_command(recipe)


@pytest.mark.slow
def test_one_rank_with_a_loss_that_is_not_finite_stops_all(recipe: Recipes, tmp_path: Path) -> None:
    base = recipe("two")
    compute = replace(base.compute, devices=2, strategy="zero2")
    base = replace(base, compute=compute, intervals=replace(base.intervals, save_every=1))
    with started(base, tmp_path, poisoned) as ranks:
        assert ranks.wait() == [2, 2], "the first speaks for all"
    said = ranks.log.read_text()
    told = "update 3: its loss or gradient is not finite on rank 1 of 2"
    assert told in said.replace("\n", " ")
    assert "streams: " in said
    assert said.count("error: ") == 1
    assert "Traceback" not in said
    state = newest_state(base.output)
    assert state is not None
    assert state.update == 2


def _until(condition: Callable[[], bool], limit_s: float = 120.0) -> None:
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, "the run did not come that far"
        time.sleep(0.1)


def _children(pid: int) -> list[int]:
    listed = subprocess.run(["ps", "-o", "pid=,args=", "--ppid", str(pid)],
                            capture_output=True, text=True, check=True).stdout  # fmt: skip
    return [int(line.split()[0]) for line in listed.splitlines() if "soundflow" in line]
