"""What happens to one of two processes, and what both make of it."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from soundflow.data.batch import Update
from soundflow.data.config import DataConfig, DataSource
from soundflow.protocol.spec import StreamSpec
from soundflow.shards.store import FolderStore
from soundflow.shards.writer import write_index, write_shard
from soundflow.train import checkpoints
from soundflow.train.checkpoints import newest_state
from soundflow.train.module import StreamingModule
from soundflow.train.ranks import place
from soundflow.train.recipe import OptimConfig, TrainRecipe
from soundflow.train.run import run
from tests.soundflow.conftest import text_stream, tone_stream
from tests.soundflow.small_run import reproducible
from tests.soundflow.train.two_ranks import started, train, train_command

Recipes = Callable[..., TrainRecipe]
pytestmark = pytest.mark.slow


@pytest.fixture
def two(recipe: Recipes) -> TrainRecipe:
    """Two ranks that save every other update."""
    base = recipe("two")
    return replace(base, compute=replace(base.compute, devices=2))


def damaged_for_the_second(recipe: Path) -> int:
    """After three updates, which are an epoch, the disk of the second rank goes bad."""
    step = StreamingModule.training_step

    def later(self: StreamingModule, update: Update, index: int) -> None:
        step(self, update, index)
        if self.updates == 3 and self.engine.rank == 1:
            FolderStore.part = lambda *_: b"not what was written"  # type: ignore[method-assign]

    StreamingModule.training_step = later  # type: ignore[method-assign]
    return train_command(recipe)


@pytest.mark.parametrize(
    ("strategy", "validate_every"), [("ddp", 60), ("zero2", 60), ("ddp", 3)],
    ids=["ddp", "zero2", "validation"],
)  # fmt: skip
def test_a_shard_that_goes_bad_for_one_rank_ends_all_with_its_name(
    two: TrainRecipe, tmp_path: Path, strategy: str, validate_every: int
) -> None:
    intervals = replace(two.intervals, validate_every=validate_every)
    compute = replace(two.compute, strategy=strategy)
    two = replace(two, compute=compute, intervals=intervals, optim=OptimConfig(updates=60))
    with started(two, tmp_path, damaged_for_the_second) as ranks:
        assert ranks.wait() == [2, 2], "the first speaks for all"
    said = ranks.log.read_text()
    assert f"damaged shard {two.data.sources[0].folder}" in said.replace("\n", "")
    assert "make it again with the same build command" in said
    assert said.count("error: ") == 1
    assert "Traceback" not in said
    state = newest_state(two.output)
    assert state is not None
    assert state.update == 2


def full_for_the_second(recipe: Path) -> int:
    """The limit on the size of a file stands for the disk, which fills up after the first save."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    finish = checkpoints.States.finish

    def then_full(self: checkpoints.States, begun: checkpoints.Unfinished) -> None:
        finish(self, begun)
        if place()[0] == 1:
            resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))

    checkpoints.States.finish = then_full  # type: ignore[method-assign]
    return train_command(recipe)


@pytest.mark.parametrize("save_in_background", [False, True])
def test_a_disk_that_is_full_for_one_rank_is_one_line_and_the_state_before_stays(
    two: TrainRecipe, tmp_path: Path, save_in_background: bool
) -> None:
    two = replace(two, intervals=replace(two.intervals, save_in_background=save_in_background))
    with started(two, tmp_path, full_for_the_second) as ranks:
        assert ranks.wait() == [2, 2], "the first speaks for all"
    said = ranks.log.read_text()
    assert said.count("the disk is full") == 1
    assert "Traceback" not in said
    state = newest_state(two.output)
    assert state is not None
    assert state.update == 2
    assert not list((two.output / "resume").glob(".*.partial"))


def killed_between_weights_and_note(recipe: Path) -> int:
    finish, calls = checkpoints._finish, [0]

    def dying(partial: Path, state: checkpoints.State) -> None:
        calls[0] += 1
        if calls[0] == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        finish(partial, state)

    checkpoints._finish = dying  # type: ignore[assignment]
    return train_command(recipe)


def test_kill_9_in_the_middle_of_saving(two: TrainRecipe, recipe: Recipes, tmp_path: Path) -> None:
    two = replace(two, intervals=replace(two.intervals, save_in_background=True))
    with started(two, tmp_path, killed_between_weights_and_note) as ranks:
        ranks.processes[0].join(120)
        assert ranks.processes[0].exitcode == -signal.SIGKILL
        ranks.processes[1].join(120)
        assert ranks.processes[1].exitcode == 2
    said = ranks.log.read_text()
    assert "another process of this run ended" in said
    assert "the state after update 2 of 6 is saved" in said
    assert "Traceback" not in said
    one = replace(two, compute=replace(two.compute, devices=1))
    assert run(one).resumed_at == 2
    unbroken = run(replace(one, output=one.output.with_name("whole")))
    for a, b in zip(
        reproducible(unbroken.metrics_file), reproducible(two.output / "metrics.jsonl"), strict=True
    ):
        known = {name: value for name, value in b.items() if "event_" not in name}
        assert known == pytest.approx(a, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("strategy", ["ddp", "zero2"])
def test_a_rank_without_audio_and_without_held_out_streams(
    recipe: Recipes, spec: StreamSpec, tmp_path: Path, strategy: str
) -> None:
    """Of the two streams of each update one has no sound; the only held-out one has one rank."""
    streams = {"train": [tone_stream(1, 4), text_stream(1)], "valid": [tone_stream(99)]}
    for split, samples in streams.items():
        shard = write_shard(tmp_path / "few" / split, 0, split, samples, spec)
        write_index(tmp_path / "few" / split, spec, [shard])
    data = DataConfig((DataSource(tmp_path / "few"),), global_batch_size=2, row_tokens=400)
    alone = run(recipe("alone", data=replace(data, workers=0)))
    two = recipe("two", data=replace(data, row_tokens=100, workers=0))
    train(replace(two, compute=replace(two.compute, devices=2, strategy=strategy)), tmp_path)
    want, got = (reproducible(tmp_path / n / "metrics.jsonl") for n in ("alone", "two"))
    assert len(want) == len(got) == 8 == alone.updates + 2
    for a, b in zip(want, got, strict=True):
        assert b == pytest.approx(a, rel=1e-5, abs=1e-6), a["update"]
