"""A real engine of the smallest size, untrained: decisions are arbitrary but fixed."""

from __future__ import annotations

import torch

from inference.engine import Engine
from soundflow.model.config import LmConfig, ModelConfig, TowerConfig
from soundflow.model.interaction import AudioInteractionModel
from soundflow.text.presets import stream_spec
from soundflow.text.tiny import tiny_tokenizer


def make_engine(seed: int = 0, max_positions: int = 1024) -> Engine:
    tokenizer = tiny_tokenizer()
    config = ModelConfig(
        tower=TowerConfig(width=32, layers=1, heads=2, ffn_width=64, max_positions=64),
        lm=LmConfig(
            width=32, layers=2, heads=2, kv_heads=1, ffn_width=64,
            max_positions=max_positions, rope_theta=10_000.0, init_std=0.3,
        ),
    )  # fmt: skip
    state = torch.random.get_rng_state()
    torch.manual_seed(seed)
    model = AudioInteractionModel(config, tokenizer.table).eval()
    torch.random.set_rng_state(state)
    return Engine(
        model=model,
        tokenizer=tokenizer,
        spec=stream_spec(tokenizer),
        system="Answer what deserves it.",
        threshold=0.5,
        limit_positions=max_positions,
    )
