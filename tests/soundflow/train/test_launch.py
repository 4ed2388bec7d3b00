"""Processes of a launcher whose machines show them different things: the first one decides."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from soundflow.config.record import record
from soundflow.data.datamodule import StreamData
from soundflow.train import checkpoints, intervals, run
from soundflow.train.checkpoints import newest_state
from soundflow.train.launch import meeting
from soundflow.train.metrics import read_metrics
from soundflow.train.recipe import TrainRecipe
from tests.soundflow.train.two_ranks import started, train, train_command, train_unheard

Recipes = Callable[..., TrainRecipe]
pytestmark = pytest.mark.slow


@pytest.fixture
def two(recipe: Recipes) -> TrainRecipe:
    """Two ranks that save, and measure, every other update."""
    base = recipe("two")
    often = replace(base.intervals, validate_every=2)
    return replace(base, compute=replace(base.compute, devices=2), intervals=often)


def second() -> bool:
    return os.environ["RANK"] == "1"


def stale_for_the_second(recipe: Path) -> int:
    """The second rank does not see that the run was ever started."""
    if second():
        nothing = lambda *_: pytest.fail("decided by what it sees itself")  # noqa: E731
        run.newest_state = run.claim = run.alone = nothing  # type: ignore[assignment]
        checkpoints._states = lambda _: []  # type: ignore[assignment]
        intervals.newest_measurement = lambda *_: (0, {})  # type: ignore[assignment]
    return train_unheard(recipe)


def test_what_is_done_is_what_the_first_rank_sees(two: TrainRecipe, tmp_path: Path) -> None:
    """Finished; stopped after a measurement; stopped before the last one."""
    train(two, tmp_path)
    metrics = two.output / "metrics.jsonl"
    whole = metrics.read_text()
    with started(two, tmp_path, stale_for_the_second) as ranks:
        assert ranks.wait() == [0, 0], ranks.log.read_text()[-3000:]
    assert metrics.read_text() == whole
    before_measuring = "".join(whole.splitlines(keepends=True)[:-1])
    for lost, left in (("resume/update-000000006", whole), ("train.yaml", before_measuring)):
        shutil.rmtree(two.output / "model")
        (two.output / lost).rename(tmp_path / "lost")
        metrics.write_text(left)
        with started(two, tmp_path, stale_for_the_second) as ranks:
            assert ranks.wait() == [0, 0], ranks.log.read_text()[-3000:]
        measured = [row["update"] for row in read_metrics(metrics) if "valid/loss" in row]
        assert measured == [2, 4, 6]
        assert (two.output / "model").is_dir()
        shutil.rmtree(tmp_path / "lost", ignore_errors=True)


def blind_for_the_second(recipe: Path) -> int:
    """The second rank does not see the files of a state."""
    if second():
        intact = checkpoints._share_is_intact
        checkpoints._share_is_intact = lambda state: intact(  # type: ignore[assignment]
            replace(state, folder=state.folder.with_name("nowhere"))
        )
    return train_command(recipe)


def test_a_state_that_one_rank_does_not_see_is_not_passed_over(
    two: TrainRecipe, tmp_path: Path
) -> None:
    train(two, tmp_path)
    (two.output / "resume" / "update-000000006").rename(tmp_path / "newest")
    with started(two, tmp_path, blind_for_the_second) as ranks:
        assert ranks.wait() == [2, 2], ranks.log.read_text()[-3000:]
    said = ranks.log.read_text().replace("\n", " ")
    assert said.count("error: ") == 1
    assert "rank 1 of 2 does not see this file" in said
    state = newest_state(two.output)
    assert state is not None
    assert state.update == 4


def other_data_for_the_second(recipe: Path) -> int:
    if second():
        StreamData.content_hash = lambda _: "0" * 16  # type: ignore[method-assign]
    return train_command(recipe)


def misspelt_for_the_second(recipe: Path) -> int:
    if second():
        return misspelt(recipe)
    return train_command(recipe)


def misspelt(recipe: Path) -> int:
    misspelt = recipe.with_name(f"of_{os.environ['RANK']}.yaml")
    misspelt.write_text(recipe.read_text().replace("seed:", "sedd:"))
    return train_command(misspelt)


@pytest.mark.parametrize(
    ("program", "what"),
    [
        (misspelt, "sedd: unknown key"),
        (misspelt_for_the_second, "of_1.yaml: sedd: unknown key"),
        (other_data_for_the_second, "rank 1 of 2 sees other data there than rank 0"),
    ],
    ids=["misspelt", "misspelt for one", "other data"],
)
def test_a_mistake_is_said_once(
    two: TrainRecipe, tmp_path: Path, program: Callable[[Path], int], what: str
) -> None:
    with started(two, tmp_path, program) as ranks:
        assert ranks.wait() == [2, 2], ranks.log.read_text()[-3000:]
    said = ranks.log.read_text().replace("\n", " ")
    assert said.count("error: ") == said.count("hint: ") == 1, said
    assert what in said
    assert not two.output.exists()


@pytest.fixture
def not_met() -> Iterator[None]:
    """A process that did not look for a launcher yet."""
    meeting.cache_clear()
    yield
    meeting.cache_clear()


@pytest.mark.usefixtures("not_met")
def test_a_job_of_several_tasks_needs_srun(
    two: TrainRecipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """The script of the job itself has the variables of its first task, but for its step."""
    for name, value in {"PROCID": "0", "NTASKS": "4", "JOB_NAME": "any"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    monkeypatch.delenv("SLURM_STEP_ID", raising=False)
    record(tmp_path / "two.yaml", two)
    assert train_command(tmp_path / "two.yaml") == 2
    assert "submit with --ntasks-per-node" in capfd.readouterr().err
    monkeypatch.setenv("SLURM_NTASKS_PER_NODE", "2")
    assert train_command(tmp_path / "two.yaml") == 2
    said = capfd.readouterr().err
    assert "4 tasks, and this process is none of them" in said
    assert "start it with srun" in said
