"""A mistake in a recipe is found before anything heavy is imported."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
HEAVY = ("torch", "transformers", "deepspeed", "lightning", "librosa", "datasets")
# A wrong key, a wrong type, an impossible value, in every kind of recipe.
WRONG = (
    "build-data recipes/quickstart/build.yaml sedd=1",
    "train recipes/quickstart/train.yaml optim.updates=many",
    "train recipes/train/all_stages.yaml settings.optim.lr=-1",
    "infer recipes/quickstart/infer.yaml session.sampling.top_p=2",
    "infer runs/none talk.wav precision=fp8",
    "serve recipes/serve/lan.yaml limits.session=1",
    "serve runs/none port=http",
    "evaluate recipes/quickstart/evaluate.yaml timing.window_s=-1",
    "check recipes/quickstart/train.yaml compute.device=1",
    "check recipes/train/all_stages.yaml settings.data.workers=-1",
    "check recipes/evaluate/turn_taking.yaml profile=theirs",
    "check recipes/build/all_abilities.yaml workers=0.5",
)
SCRIPT = """
import json, sys
from soundflow.cli import main

codes = {words: main(words.split()) for words in sys.argv[1:]}
print(json.dumps([codes, sorted(sys.modules)]))
"""


def test_a_mistake_in_a_recipe_is_found_before_anything_heavy_is_imported() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *WRONG], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    codes, modules = json.loads(done.stdout)
    assert codes == dict.fromkeys(WRONG, 2), done.stderr
    assert not [name for name in HEAVY if name in modules]
    for words in WRONG:
        key = words.split()[-1].partition("=")[0].removeprefix("settings.")
        assert any(f": {key}: " in line for line in done.stderr.splitlines()), key
