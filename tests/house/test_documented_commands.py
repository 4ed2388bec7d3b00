"""What a reader is told to type is accepted: every documented command gets as far as its work.

Each runs as typed, in a folder with the project's recipes; only what a command does once all it was
given is accepted is taken out. So an unknown key, option or recipe, an impossible value and
settings that do not go together fail here.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from data_build.recipe import BuildRecipe
from soundflow.arguments import COMMANDS
from soundflow.cli import main
from soundflow.config.load import load
from tests.house.documented_commands import ROOT, documented, help_texts, words_of

# What does the work of a command. Here it raises `Began` instead.
WORK = (
    "soundflow.commands.build_data.build_part",
    "soundflow.commands.build_data.rebuild",
    "soundflow.commands.audit.audit",
    "soundflow.commands.training.train_all",
    "soundflow.commands.training_plan.training_plan",
    "inference.infer.run.infer",
    "inference.infer.run.replay_session",
    "inference.infer.ask.ask",
    "inference.serve.run.serve",
    "inference.evaluate.run.evaluate",
    "soundflow.commands.evaluate.compare",
    "soundflow.commands.convert.convert",
    "soundflow.commands.export.export",
    "soundflow.commands.doctor._python",
)
# Words that stand for something of the reader's -> what stands for it here.
PLACEHOLDERS = {
    "recipe.yaml": "recipes/quickstart/train.yaml",
    "recipes/build/$name.yaml": "recipes/build/voice_chat.yaml",
    "recipes/evaluate/RECIPE.yaml": "recipes/evaluate/realtime.yaml",
    "stream.chunk_s=$chunk": "stream.chunk_s=0.8",
    "stream.window_chunks=$chunks": "stream.window_chunks=30",
    "compose.max_chunks=$chunks": "compose.max_chunks=30",
    "DATA": "runs/quickstart/data",
}
RECIPE = {
    "build-data": "recipes/quickstart/build.yaml",
    "train": "recipes/quickstart/train.yaml",
    "evaluate": "recipes/quickstart/evaluate.yaml",
    "check": "recipes/quickstart/train.yaml",
}
# Folders of the reader's that a command looks into before its work.
CHECKPOINTS = (
    "checkpoints", "RELEASE", "RELEASE_OR_QWEN_OMNI", "runs/quickstart/model",
    "runs/finetuned/model", "runs/stages/stage4_instruction/model",
)  # fmt: skip
# Synopses: a shell takes none of them.
SYNOPSES = (
    "soundflow convert SOURCE DEST [to=soundflow] [dtype=keep] [shard_gb=2] [base=...] "
    "[verify=true]",
    "soundflow infer ... --json",
    "soundflow infer CHECKPOINT AUDIO ... [key.sub=value ...] [options]",
    "soundflow infer RECIPE.yaml [AUDIO ...]",
    "sbatch slurm/build.sbatch recipes/build/RECIPE.yaml [key.sub=value ...]",
    "sbatch --array=0-99 slurm/build.sbatch ...",
    "sbatch slurm/evaluate.sbatch recipes/evaluate/RECIPE.yaml [key.sub=value ...]",
    "sbatch --array=0-31 slurm/evaluate.sbatch ...",
    "sbatch --nodes=4 --ntasks-per-node=8 --gpus-per-node=8 slurm/train.sbatch RECIPE.yaml "
    "[key.sub=value ...]",
)
DOCUMENTED = documented()


class Began(BaseException):
    """All that a command was given is accepted."""


@pytest.fixture(scope="module")
def outputs() -> dict[str, Path]:
    """The output of every build recipe -> the recipe."""
    os.chdir(ROOT)
    recipes = {Path("recipes/quickstart/build.yaml"), *Path().glob("recipes/build/*.yaml")}
    return {load(path, BuildRecipe).output: path for path in recipes}


@pytest.mark.parametrize("line", [line for line in DOCUMENTED if line not in SYNOPSES])
def test_a_documented_command_is_accepted(
    line: str, outputs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    command, *words = words_of(line)
    if not words and command != "doctor":
        return  # the name of a command, in a sentence
    words = [RECIPE[command] if w == "RECIPE" else PLACEHOLDERS.get(w, w) for w in words]
    for work in WORK:
        monkeypatch.setattr(work, began)
    monkeypatch.chdir(tmp_path)
    Path("recipes").symlink_to(ROOT / "recipes")
    for folder in CHECKPOINTS:
        Path(folder).mkdir(parents=True)
    if command == "audit":
        given = Path(words[0])
        given.mkdir(parents=True)
        (given / "conversations.jsonl").touch()
        if recipe := outputs.get(words[0]):
            shutil.copy(ROOT / recipe, given / "recipe.yaml")
            (given / "train").mkdir()
            (given / "train/index.json").touch()
    try:
        code = main([command, *words])
    except Began:
        return
    assert code == 0, f"{DOCUMENTED[line]}: {capfd.readouterr().err}"
    assert command == "check", "it ended before its work"


def began(*args: object, **settings: object) -> None:
    raise Began


def test_every_command_teaches_by_examples() -> None:
    shown = {line.split()[1] for line in DOCUMENTED if line.startswith("soundflow")}
    assert shown == set(COMMANDS)
    assert all("examples:" in text for place, text in help_texts()[1:])


def test_what_is_excused_is_documented() -> None:
    assert [line for line in SYNOPSES if line not in DOCUMENTED] == []
    used = {word for line in DOCUMENTED if line not in SYNOPSES for word in words_of(line)}
    assert [word for word in (*PLACEHOLDERS, *CHECKPOINTS) if word not in used] == []
