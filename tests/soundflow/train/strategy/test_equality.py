"""Two processes under every strategy take the same updates as one, from and to the same states."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from soundflow.config.record import record
from soundflow.train.checkpoints import State, newest_state
from soundflow.train.recipe import TrainRecipe
from soundflow.train.run import run
from tests.soundflow.small_run import reproducible

Recipes = Callable[..., TrainRecipe]
SCRIPT = """
import sys
from soundflow.config.load import load
from soundflow.train.recipe import TrainRecipe
from soundflow.train.run import run

if __name__ == "__main__":
    run(load(sys.argv[1], TrainRecipe))
"""


def train(tmp_path: Path, recipe: TrainRecipe) -> None:
    script, file = tmp_path / "train.py", tmp_path / f"{recipe.output.name}.yaml"
    script.write_text(SCRIPT)
    record(file, recipe)
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(script), str(file)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "zero1", "zero2", "zero3", "fsdp"])
def test_two_ranks_train_as_one(recipe: Recipes, tmp_path: Path, strategy: str) -> None:
    """1 -> 2 -> 1 processes, with several micro-batches a rank and a text stream on one rank only.

    One process takes all updates; two go on from its second state, and one from their fourth.
    """
    alone = run(recipe("alone"))
    two = recipe("two")
    two = replace(
        two,
        data=replace(two.data, row_tokens=200),
        compute=replace(two.compute, devices=2, strategy=strategy),
    )
    hand_over(alone.metrics_file.parent, two.output, at=2)
    train(tmp_path, two)
    then = recipe("then")
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
