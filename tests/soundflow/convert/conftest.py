from __future__ import annotations

from pathlib import Path

import pytest
import torch

from soundflow.model.config import AudioEncoderConfig, LmConfig, ModelConfig
from soundflow.model.facts import TrainingFacts
from soundflow.model.interaction import AudioInteractionModel
from soundflow.model.weights import save_checkpoint
from soundflow.protocol.spec import StreamSpec
from soundflow.text.tiny import tiny_tokenizer
from tests.soundflow.convert.omni import save_omni, save_thinker


@pytest.fixture(scope="session")
def thinker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_thinker(tmp_path_factory.mktemp("thinker") / "thinker")


@pytest.fixture(scope="session")
def omni(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_omni(tmp_path_factory.mktemp("omni") / "omni")


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of ours with a vocabulary and a head of its own kind: tied."""
    folder = tmp_path_factory.mktemp("tiny") / "tiny"
    tokenizer = tiny_tokenizer()
    config = ModelConfig(
        audio_encoder=AudioEncoderConfig(
            width=16, layers=2, heads=2, ffn_width=32, max_positions=64
        ),
        lm=LmConfig(
            width=32, layers=2, heads=4, kv_heads=2, ffn_width=48, max_positions=256,
            tied=True, init_std=0.3,
        ),
    )  # fmt: skip
    torch.manual_seed(1)
    model = AudioInteractionModel(config, tokenizer.table)
    spec = StreamSpec(tokenizer=tokenizer.fingerprint, tokens=tokenizer.table)
    save_checkpoint(folder, model, tokenizer, spec, TrainingFacts(99, "listen"))
    return folder
