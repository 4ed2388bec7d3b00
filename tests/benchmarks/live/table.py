"""What the parts of `bench_live.py` share: the engine, its audio, and the rows they print."""

from __future__ import annotations

import numpy as np
import torch

from inference.engine import Engine
from soundflow.model.interaction import AudioInteractionModel
from soundflow.model.tiny import tiny_config
from soundflow.text.presets import stream_spec
from soundflow.text.tiny import tiny_tokenizer

LIMIT_POSITIONS = 512  # about 15 s: as a model that was trained on streams of that length
ROW = "| {:44} | {:>34} | {:>26} |"


def make_engine() -> Engine:
    """The quickstart's size with random weights, the same in every process."""
    tokenizer = tiny_tokenizer()
    torch.manual_seed(0)
    model = AudioInteractionModel(tiny_config(), tokenizer.table).eval()
    return Engine(model, tokenizer, stream_spec(tokenizer), "Listen.", 0.5, LIMIT_POSITIONS)


def chunks_of_noise(engine: Engine, n: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    samples = engine.spec.time.chunk_samples
    return [0.1 * rng.standard_normal(samples).astype(np.float32) for _ in range(n)]


def head(title: str) -> None:
    print(f"{title}\n")
    print(ROW.format("work", "found", "bar"))
    print("|" + "-" * 46 + "|" + "-" * 36 + "|" + "-" * 28 + "|")


def say(what: str, found: str, bar: str) -> None:
    print(ROW.format(what, found, bar), flush=True)
