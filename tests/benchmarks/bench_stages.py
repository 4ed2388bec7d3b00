"""What each of the four stages of the quickstart adds, on the same held-out streams.

    soundflow build-data recipes/quickstart/build.yaml
    python -m tests.benchmarks.bench_stages [SETTING=VALUE ...]

Runs `soundflow train recipes/quickstart/stages/all_stages.yaml` with the settings given, or goes on
with it, and prints the last validation of each stage: decisions and replies decoded live, the loss
and its parts under teacher forcing, these before stage 1 too. About eight minutes on two cores.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import torch

from inference.hardware import hardware
from soundflow.config.load import read_tree
from soundflow.data.datamodule import StreamData
from soundflow.text.presets import load_vocabulary
from soundflow.train.chain import stage_recipes
from soundflow.train.held_out import held_out_counts, held_out_figures
from soundflow.train.metrics import FILE_NAME, newest_measurement
from soundflow.train.recipe import TrainRecipe
from soundflow.train.start import start

CHAIN = Path(__file__).resolve().parents[2] / "recipes/quickstart/stages/all_stages.yaml"
FIGURES = {
    "event_f1": "event F1",
    "event_reply_exact": "exact",
    "decision_f1": "decision F1",
    "loss": "loss",
    "loss_stream": "stream",
    "loss_reply": "reply",
}


def main() -> None:
    words = sys.argv[1:]
    command = [str(Path(sys.executable).with_name("soundflow")), "train", str(CHAIN), *words]
    started = time.monotonic()
    subprocess.run(command, check=True)
    took_s = time.monotonic() - started
    tree = read_tree(CHAIN, words)
    del tree["command"]
    print(f"{hardware()}; {took_s:.0f} s")
    print(f"{'after':20} {'updates':>7} " + " ".join(f"{name:>11}" for name in FIGURES.values()))
    stages = stage_recipes(tree, CHAIN)
    show("random weights", 0, untrained(stages[0]))
    for recipe in stages:
        show(recipe.output.name, *newest_measurement(recipe.output / FILE_NAME))


def show(name: str, updates: int, found: dict[str, float]) -> None:
    shown = (f"{found[key]:11.3f}" if key in found else f"{'-':>11}" for key in FIGURES)
    print(f"{name:20} {updates:7} " + " ".join(shown))


def untrained(recipe: TrainRecipe) -> dict[str, float]:
    """The teacher-forced figures of the weights that a run starts from."""
    data = StreamData(recipe.data, recipe.seed, recipe.optim.updates)
    tokenizer, _ = load_vocabulary(recipe.vocabulary)
    model = start(recipe, None, data, tokenizer).model.eval()
    tasks, batches = data.held_out_tasks(), data.held_out(0, 1)
    assert batches is not None, "the recipe holds nothing out"
    counts = sum(held_out_counts(model, batch, tasks) for batch in batches)
    assert isinstance(counts, torch.Tensor)
    return held_out_figures(counts, tasks, recipe.loss.stream_weight)


if __name__ == "__main__":
    main()
