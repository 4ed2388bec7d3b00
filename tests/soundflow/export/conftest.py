"""One small finished build, and a checkpoint that fits it."""

from __future__ import annotations

from pathlib import Path

import pytest

from data_build.recipe import BuildRecipe
from soundflow.model.config import AudioEncoderConfig, LmConfig, ModelConfig
from soundflow.model.facts import TrainingFacts
from soundflow.model.interaction import AudioInteractionModel
from soundflow.model.weights import save_checkpoint
from soundflow.shards.reader import ShardSet
from soundflow.text.tiny import tiny_tokenizer
from tests.data_build.report.conftest import recipe

__all__ = ["recipe"]


@pytest.fixture(scope="session")
def checkpoint(recipe: BuildRecipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model with random weights, of the spec of the build."""
    folder = tmp_path_factory.mktemp("checkpoint") / "model"
    spec = ShardSet(Path(recipe.output) / "train").spec
    config = ModelConfig(
        AudioEncoderConfig(width=16, layers=1, heads=2, ffn_width=32, max_positions=64),
        LmConfig(width=32, layers=1, heads=2, kv_heads=1, ffn_width=48, max_positions=256),
    )
    save_checkpoint(
        folder,
        AudioInteractionModel(config, spec.tokens),
        tiny_tokenizer(),
        spec,
        TrainingFacts(256),
    )
    return folder
