"""Two processes under every strategy take the same updates as one, from and to the same states."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from soundflow.train.checkpoints import State, newest_state
from soundflow.train.recipe import TrainRecipe
from soundflow.train.run import run
from tests.soundflow.small_run import reproducible
from tests.soundflow.train.two_ranks import train

Recipes = Callable[..., TrainRecipe]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("strategy", "offload"),
    [("ddp", False), ("zero1", True), ("zero2", False), ("zero3", True), ("fsdp", False)],
)
def test_two_ranks_train_as_one(
    recipe: Recipes, tmp_path: Path, strategy: str, offload: bool
) -> None:
    """1 -> 2 -> 1 processes, with several micro-batches a rank and a text stream on one rank only.

    One process takes all updates; two go on from its second state, and one with moments in host
    memory from their fourth, which is written in the background.
    """
    alone = run(recipe("alone"))
    two = recipe("two")
    two = replace(
        two,
        data=replace(two.data, row_tokens=200),
        compute=replace(two.compute, devices=2, strategy=strategy, offload_moments=offload),
        intervals=replace(two.intervals, save_in_background=True),
    )
    hand_over(alone.metrics_file.parent, two.output, at=2)
    train(two, tmp_path)
    then = recipe("then")
    then = replace(then, compute=replace(then.compute, offload_moments=True))
    hand_over(two.output, then.output, at=4)
    assert run(then).resumed_at == 4
    for name in ("two", "then"):
        want, got = (reproducible(tmp_path / n / "metrics.jsonl") for n in ("alone", name))
        assert len(want) == len(got) == 8
        for a, b in zip(want, got, strict=True):
            assert b == pytest.approx(a, rel=1e-5, abs=1e-6), (name, a["update"])


def hand_over(source: Path, target: Path, at: int) -> None:
    """What a run killed after the state of an update leaves behind."""
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("model", "wandb"))
    for folder in (target / "resume").glob("update-*"):
        if int(folder.name.removeprefix("update-")) > at:
            shutil.rmtree(folder)
    state = newest_state(target)
    assert isinstance(state, State)
    assert state.update == at
