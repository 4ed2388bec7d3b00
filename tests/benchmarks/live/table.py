"""What the parts of `bench_live.py` share: the engine, its audio, and the rows they print."""

from __future__ import annotations

import numpy as np
import torch

from inference.engine import Engine
from soundflow.model.config import AudioEncoderConfig, LmConfig, ModelConfig
from soundflow.model.interaction import AudioInteractionModel
from soundflow.text.presets import stream_spec
from soundflow.text.tiny import tiny_tokenizer
from tests.benchmarks.tiny_model import tiny_config

LIMIT_POSITIONS = 512  # about 15 s: as a model that was trained on streams of that length
ROW = "| {:44} | {:>42} | {:>26} |"


def make_engine() -> Engine:
    """The quickstart's size, 2.5 million parameters: its weights stay in a core's caches."""
    return _untrained(tiny_config())


def make_large_engine() -> Engine:
    """96 million parameters, 383 MB: every pass reads its weights from memory."""
    encoder = AudioEncoderConfig(width=512, layers=6, heads=8, ffn_width=2048, max_positions=64)
    lm = LmConfig(
        width=768, layers=10, heads=12, kv_heads=4, ffn_width=2560, max_positions=2048,
        rope_theta=10_000.0, tied=True,
    )  # fmt: skip
    return _untrained(ModelConfig(encoder, lm))


def _untrained(config: ModelConfig) -> Engine:
    """Random weights, the same in every process."""
    tokenizer = tiny_tokenizer()
    torch.manual_seed(0)
    model = AudioInteractionModel(config, tokenizer.table).eval()
    return Engine(model, tokenizer, stream_spec(tokenizer), "Listen.", 0.5, LIMIT_POSITIONS)


def chunks_of_noise(engine: Engine, n: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    samples = engine.spec.time.chunk_samples
    return [0.1 * rng.standard_normal(samples).astype(np.float32) for _ in range(n)]


def head(title: str) -> None:
    print(f"{title}\n")
    print(ROW.format("work", "found", "bar"))
    print("|" + "-" * 46 + "|" + "-" * 44 + "|" + "-" * 28 + "|")


def say(what: str, found: str, bar: str) -> None:
    print(ROW.format(what, found, bar), flush=True)
