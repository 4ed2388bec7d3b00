"""A run that starts from the weights of another: of any chunk, of nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from soundflow.errors import UserError
from soundflow.model.config import ModelConfig
from soundflow.model.facts import TrainingFacts
from soundflow.model.interaction import AudioInteractionModel
from soundflow.model.weights import load_checkpoint, save_checkpoint
from soundflow.protocol.spec import StreamSpec
from soundflow.protocol.stream_config import StreamConfig
from soundflow.shards.reader import ShardSet
from soundflow.text.presets import stream_spec
from soundflow.text.tokenizer import TextTokenizer
from soundflow.train.optim import OptimConfig
from soundflow.train.recipe import TrainRecipe
from soundflow.train.run import run


@pytest.fixture
def base(
    tmp_path: Path, small_model: ModelConfig, tokenizer: TextTokenizer
) -> Callable[[StreamSpec], Path]:
    def save(spec: StreamSpec) -> Path:
        torch.manual_seed(1)
        model = AudioInteractionModel(small_model, spec.tokens)
        save_checkpoint(tmp_path / "base", model, tokenizer, spec, TrainingFacts(99))
        return tmp_path / "base"

    return save


def test_weights_of_another_chunk_start_a_run(
    base: Callable[[StreamSpec], Path], recipe: Callable[..., TrainRecipe], tokenizer: TextTokenizer
) -> None:
    folder = base(stream_spec(tokenizer, StreamConfig(chunk_s=0.2, maximum="running")))
    still = OptimConfig(updates=1, lr=1e-12)
    chosen = recipe(model=None, start_from=folder, optim=still)
    found = load_checkpoint(run(chosen).model_folder)
    assert found.spec == ShardSet(chosen.data.folder / "train").spec
    for name, weight in load_checkpoint(folder).model.state_dict().items():
        torch.testing.assert_close(found.model.state_dict()[name], weight, atol=1e-6, rtol=0)


def test_weights_of_other_features_do_not(
    base: Callable[[StreamSpec], Path], recipe: Callable[..., TrainRecipe], spec: StreamSpec
) -> None:
    other = replace(spec, front_end=replace(spec.front_end, f_max_hz=4_000.0))
    with pytest.raises(UserError, match=r"base and .*f_max_hz: 4000\.0 != 8000\.0"):
        run(recipe(model=None, start_from=base(other)))
