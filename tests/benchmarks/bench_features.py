"""What cached features gain: the time of an update with a tower that runs, and with one that ran.

    python -m tests.benchmarks.bench_features

The model of the quickstart over streams of 10 s, in its first three stages; float32, one thread;
loading included, with nothing loaded ahead and no features in memory. Updates in turns. Takes about
a minute.
"""

from __future__ import annotations

import platform
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import median

import torch

from soundflow.config.load import load
from soundflow.data.config import DataConfig, DataSource
from soundflow.data.datamodule import StreamData
from soundflow.model.interaction import AudioInteractionModel
from soundflow.train.encode import encode_streams
from soundflow.train.loss import loss_sums
from soundflow.train.recipe import StageConfig, TrainRecipe
from soundflow.train.stages import apply_stage
from tests.benchmarks.bench_store import write

RECIPE, UPDATES = "recipes/quickstart/train.yaml", 7
STAGES = {
    "stage 1, rows": StageConfig(train=(), rows=("lm.model.embed_tokens.weight",)),
    "stage 2, adapter": StageConfig(train=("encoder.proj.*",)),
    "stage 3, adapter and language model": StageConfig(train=("encoder.proj.*", "lm.*")),
}


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    recipe = load(RECIPE, TrainRecipe)
    write(folder / "train", 2)
    sources = (DataSource(folder, valid=None),)
    live = DataConfig(sources, global_batch_size=8, row_tokens=recipe.data.row_tokens)
    print(platform.processor() or platform.machine())
    cached = replace(
        live, features="cached", features_folder=folder / "features", features_max_gb=1.0
    )
    for name, stage in STAGES.items():
        assert recipe.model is not None
        both = [StreamData(config, 0, 100) for config in (live, cached)]
        torch.manual_seed(0)
        model = AudioInteractionModel(recipe.model, both[0].spec.tokens).train()
        apply_stage(model, stage)
        encode_streams(both[1], model, lambda: None)
        print(f"{name}: {_compared(model, both)}")


def _compared(model: AudioInteractionModel, both: list[StreamData]) -> str:
    updates = [data.train_updates(0, 1) for data in both]
    took: list[list[float]] = [[], []]
    for number in range(50, 50 + UPDATES):
        for which, source in enumerate(updates):
            begun = time.perf_counter()
            for batch in source[number].batches:
                sums = loss_sums(model, batch)
                torch.autograd.backward(sums.stream + sums.reply)
            model.zero_grad()
            took[which].append(time.perf_counter() - begun)
    live, cached = map(median, took)
    return f"live {live:.2f} s, cached {cached:.2f} s an update: {live / cached:.2f} x"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        main(Path(made))
