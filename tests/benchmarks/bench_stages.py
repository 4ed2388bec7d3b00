"""What each of the four stages of the quickstart adds, on the same held-out streams.

    soundflow build-data recipes/quickstart/build.yaml
    python -m tests.benchmarks.bench_stages [SETTING=VALUE ...]

Runs `soundflow train recipes/quickstart/stages/all_stages.yaml` with the settings given, or goes on
with it, and prints the last validation of each stage: decisions and replies decoded live, the loss
and its parts under teacher forcing. Takes under eight minutes on two cores.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from inference.hardware import hardware
from soundflow.config.load import read_tree
from soundflow.train.chain import stage_recipes
from soundflow.train.metrics import FILE_NAME, newest_measurement

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
    for recipe in stage_recipes(tree, CHAIN):
        updates, found = newest_measurement(recipe.output / FILE_NAME)
        shown = (f"{found[key]:11.3f}" if key in found else f"{'-':>11}" for key in FIGURES)
        print(f"{recipe.output.name:20} {updates:7} " + " ".join(shown))


if __name__ == "__main__":
    main()
