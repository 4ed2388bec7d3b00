"""The plan says what a command would do, and what it would find, in a few lines."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from soundflow.cli import main
from soundflow.config.load import load
from soundflow.output import MARKER
from soundflow.train.claim import claim
from soundflow.train.recipe import TrainRecipe

RECIPE = """
command: build-data
output: {output}
splits: {{train: {{streams: 250}}}}
cues: [{{name: beep, sound: beep}}]
texts: [nowhere.txt]
sources: [{{corpus: musan, root: nowhere}}, {{corpus: musan, root: .}}]
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "build.yaml"
    path.write_text(RECIPE.format(output=tmp_path / "data"))
    return path


def test_the_plan_is_a_few_lines_and_every_setting_on_demand(
    recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", str(recipe)]) == 0
    plan = capsys.readouterr().out
    assert "split train  250 streams in 3 shards; about 1.2 h, about 64.7 MB of disk" in plan
    assert "sources[0]  musan in nowhere: does not exist yet" in plan
    assert "sources[1]  musan in ." in plan
    assert f"texts[0]  nowhere.txt: does not exist yet, seen from {Path.cwd()}" in plan
    assert len(plan.splitlines()) < 15
    assert main(["check", str(recipe), "--all"]) == 0
    everything = capsys.readouterr().out
    assert everything.startswith(plan.split("\n\n")[0])
    assert "crossfade_s: 0.25" in everything
    assert main(["check", "--json", str(recipe), "seed=7"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["recipe"]["seed"] == 7
    assert found["plan"]["split train"].startswith("250 streams")


def test_the_plan_says_what_the_command_would_find(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/note.txt").write_text("mine")
    assert main(["check", str(recipe)]) == 0
    assert "holds 'note.txt', which SoundFlow did not make" in capsys.readouterr().out
    assert [p.name for p in (tmp_path / "data").iterdir()] == ["note.txt"]
    assert main(["check", str(recipe), f"output={tmp_path / 'new'}"]) == 0
    assert not (tmp_path / "new" / MARKER).exists()


def test_a_public_set_that_is_not_here_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "evaluate.yaml"
    path.write_text(f"""
command: evaluate
checkpoint: nowhere
output: {tmp_path / "evaluation"}
benchmarks:
  end_of_turn: {{data: owner/set}}
  full_duplex: {{data: {tmp_path}}}
""")
    assert main(["check", str(path)]) == 0
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert "end of turn  owner/set: a hub id, or does not exist yet" in lines
    assert f"full duplex  {tmp_path}" in lines


def test_more_workers_than_cores_are_said(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(recipe), "workers=4000"]) == 0
    assert "4000: more than the" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("command: [train]", "['train'] is not a command"),
        ("command: trian", "'trian' is not a command; did you mean 'train'?"),
        ("command: null", "is missing; known: build-data, train"),
        ("output: runs/x", "is missing; known: build-data, train"),
    ],
)
def test_a_recipe_says_what_it_is_for(
    tmp_path: Path, line: str, fault: str, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "r.yaml").write_text(line)
    assert main(["check", str(tmp_path / "r.yaml")]) == 2
    assert f"command: {fault}" in capfd.readouterr().err


def test_the_plan_of_a_training_run(
    tone_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "train.yaml"
    path.write_text(f"""
command: train
output: {tmp_path / "run"}
data: {{sources: [{{folder: {tone_data}}}], global_batch_size: 8, row_tokens: 400}}
optim: {{updates: 10}}
stage: {{train: [encoder.proj.*]}}
compute: {{accelerator: cpu, threads: 1, precision: fp32}}
model:
  audio_encoder: {{width: 32, layers: 1, heads: 2, ffn_width: 64, max_positions: 32}}
  lm: {{width: 48, layers: 2, heads: 2, kv_heads: 1, ffn_width: 96, max_positions: 512, tied: true}}
""")
    assert main(["check", str(path), "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)["plan"]
    assert plan["parameters"].startswith("0.00 M trained, 0.1")
    assert "24 streams, 3.3 epochs" in plan["data"]
    assert "no padding" in plan["tokens"]
    assert "at the peak of a rank" in plan["memory"]
    assert "0 MiB a state" in plan["disk"]  # the adapter alone is in it
    assert "time" not in plan
    # An end that no interval falls on is saved and validated all the same.
    assert plan["checkpoints"] == "1 states saved (at most 2 kept), 1 validations"
    cached = ["data.features=cached", f"data.features_folder={tmp_path / 'f'}"]
    assert main(["check", str(path), "--json", "--probe", *cached]) == 0
    plan = json.loads(capsys.readouterr().out)["plan"]
    assert "s an update in fp32, 1 thread(s) a process" in plan["time"]
    assert "GB to be written" in plan["features"]
    assert not (tmp_path / "run").exists()
    assert not (tmp_path / "f").exists()
    assert main(["check", str(path), "stage.train=[encoder.prj.*]"]) == 2
    assert "did you mean 'encoder.proj.*'" in capsys.readouterr().err
    claim(load(path, TrainRecipe, command="train"), "content hash of other data")
    assert main(["check", str(path), "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)["plan"]
    assert f"{tmp_path / 'run'}: holds a run of another recipe" in plan["output"]


def test_the_plan_of_a_chain_has_the_memory_of_stages_that_cannot_start_yet(
    tone_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stage = f"""
output: ignored
data: {{sources: [{{folder: {tone_data}}}], global_batch_size: 8, row_tokens: 400}}
optim: {{updates: 10}}
compute: {{accelerator: cpu, threads: 1, precision: fp32}}
model:
  audio_encoder: {{width: 32, layers: 1, heads: 2, ffn_width: 64, max_positions: 32}}
  lm: {{width: 48, layers: 2, heads: 2, kv_heads: 1, ffn_width: 96, max_positions: 512, tied: true}}
"""
    for name in ("one", "two"):
        (tmp_path / f"{name}.yaml").write_text(stage)
    chain = tmp_path / "all.yaml"
    chain.write_text(f"command: train\noutput: {tmp_path / 'out'}\nstages: [one.yaml, two.yaml]\n")
    assert main(["check", str(chain), "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)["plan"]
    assert plan["two memory"] == plan["one memory"]
    assert plan["two parameters"] == plan["one parameters"]
