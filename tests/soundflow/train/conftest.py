"""A recipe over the tone streams that runs in seconds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from soundflow.data.config import DataConfig, DataSource
from soundflow.model.config import ModelConfig
from soundflow.train.recipe import ComputeConfig, OptimConfig, TrainerIntervals, TrainRecipe


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def recipe(tmp_path: Path, tone_data: Path, small_model: ModelConfig) -> Callable[..., TrainRecipe]:
    def make(name: str = "run", **changes: object) -> TrainRecipe:
        base = TrainRecipe(
            output=tmp_path / name,
            data=DataConfig(
                (DataSource(tone_data),), global_batch_size=8, row_tokens=400, workers=0
            ),
            optim=OptimConfig(updates=6, lr=1e-3),
            model=small_model,
            compute=ComputeConfig(precision="fp32", threads=1, accelerator="cpu"),
            intervals=TrainerIntervals(log_every=1, validate_every=3, save_every=2, keep_last=10),
        )
        return replace(base, **changes)

    return make
