"""Two processes over gloo take the same updates as one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from soundflow.config.record import record
from soundflow.model.weights import load_checkpoint
from soundflow.train.metrics import read_metrics
from soundflow.train.recipe import TrainRecipe

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
def test_two_ranks_train_as_one(recipe: Callable[..., TrainRecipe], tmp_path: Path) -> None:
    """Uneven lengths, two micro-batches a rank, and a text stream on one rank only."""

    def named(name: str, devices: int, row_tokens: int) -> TrainRecipe:
        base = recipe(name)
        data = replace(base.data, row_tokens=row_tokens)
        return replace(base, data=data, compute=replace(base.compute, devices=devices))

    train(tmp_path, named("one", devices=1, row_tokens=1000))
    train(tmp_path, named("two", devices=2, row_tokens=200))
    one = load_checkpoint(tmp_path / "one" / "model").model.state_dict()
    two = load_checkpoint(tmp_path / "two" / "model").model.state_dict()
    for name, want in one.items():
        torch.testing.assert_close(two[name], want, atol=2e-4, rtol=0, msg=name)
    for a, b in zip(*(read_metrics(tmp_path / n / "metrics.jsonl") for n in ("one", "two")),
                    strict=True):  # fmt: skip
        assert a.keys() == b.keys()
        assert all(b[key] == pytest.approx(a[key], rel=2e-3, abs=1e-4) for key in a)
