"""Stages one after another, each from the model of the one before, from any point on."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from soundflow.cli import main
from soundflow.config.load import read_tree
from soundflow.config.record import record
from soundflow.errors import UserError
from soundflow.forms.load_any import load_any
from soundflow.train.chain import stage_recipes
from soundflow.train.recipe import StageConfig, TrainRecipe

ROOT = Path(__file__).resolve().parents[3]

Recipes = Callable[..., TrainRecipe]


@pytest.fixture
def chain(tmp_path: Path, recipe: Recipes) -> Path:
    """Two stages: the rows of the control tokens, then everything."""
    rows = StageConfig(train=(), rows=("lm.model.embed_tokens.weight",))
    record(tmp_path / "one.yaml", recipe("elsewhere", stage=rows))
    record(tmp_path / "two.yaml", recipe("elsewhere"))
    (tmp_path / "all.yaml").write_text(
        f"command: train\noutput: {tmp_path}/out\nstages: [one.yaml, two.yaml]\n"
        "settings: {optim: {updates: 2}}\n"
    )
    return tmp_path / "all.yaml"


def train_by_two(chain: Path) -> str:
    """The command in two processes of torchrun, each of which becomes another between stages."""
    torchrun = ["torch.distributed.run", "--nproc-per-node=2", "--rdzv-endpoint=127.0.0.1:0"]
    words = ["soundflow.cli", "train", str(chain), "settings.compute.devices=2"]
    command = [sys.executable, "-m", *torchrun, "--rdzv-backend=c10d", "-m", *words]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stderr


@pytest.fixture
def in_one_process(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """The command, whose next stage begins in this process: imports cost more than the stages."""

    def stage(*words: str) -> None:
        monkeypatch.setattr(sys, "argv", ["soundflow", "train", *words])
        assert main(sys.argv[1:]) == 0

    def becomes(_: str, command: list[str], __: dict[str, str]) -> None:
        assert command[:3] == [sys.executable, "-m", "soundflow.cli"]
        stage(*command[4:])

    monkeypatch.setattr("soundflow.commands.training.os.execve", becomes)
    return stage


@pytest.mark.slow
def test_each_stage_starts_from_the_model_before(
    chain: Path, tmp_path: Path, in_one_process: Callable[..., None],
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    said = train_by_two(chain)
    one, two = (load_any(tmp_path / "out" / name / "model") for name in ("one", "two"))
    assert one.facts.updates == two.facts.updates == 2
    assert f"stage 2 of 2: {tmp_path}/out/two" in said
    rows = sorted(one.spec.tokens.control_ids)
    before = one.model.state_dict()["encoder.conv1.weight"]
    assert not torch.equal(before, two.model.state_dict()["encoder.conv1.weight"])
    assert len(rows) > 10
    written = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("*.safetensors")}
    (tmp_path / "out/two/model").rename(tmp_path / "out/two/aside")
    in_one_process(str(chain))
    assert "stage 2 of 2" in capfd.readouterr().err, "finds the stage that is not finished"
    assert (tmp_path / "out/two/model").is_dir()
    one_file = tmp_path / "out/one/model/model.safetensors"
    assert one_file.stat().st_mtime_ns == written[one_file]


@pytest.mark.slow
def test_the_four_stages_of_the_quickstart(
    tone_data: Path, tmp_path: Path, in_one_process: Callable[..., None]
) -> None:
    """Their real recipes over a few streams: each trains what it says, from the one before."""
    words = (
        f"output={tmp_path}/out", f"settings.data.sources=[{{folder: {tone_data}}}]",
        "settings.optim.updates=2", "settings.intervals.validate_every=2",
        "settings.intervals.save_every=2", "settings.compute.devices=1",
        "settings.compute.precision=fp32",
    )  # fmt: skip
    in_one_process(str(ROOT / "recipes/quickstart/stages/all_stages.yaml"), *words)
    names = ("stage1_format", "stage2_adapter", "stage3_streaming", "stage4_instruction")
    one, two, three, four = (
        load_any(tmp_path / "out" / name / "model").model.state_dict() for name in names
    )

    def moved(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> set[str]:
        return {name for name in before if not torch.equal(before[name], after[name])}

    adapter = {"encoder.proj.weight", "encoder.proj.bias"}
    assert moved(one, two) == adapter
    assert {"encoder.conv1.weight", "lm.model.norm.weight"} <= moved(two, three)
    assert moved(three, four) == adapter | {name for name in four if name.startswith("lm.")}


def test_a_chain_is_checked_before_its_first_stage(
    chain: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    two = tmp_path / "two.yaml"
    two.write_text(two.read_text().replace("lr: 0.001", "lr: fast"))
    assert main(["train", str(chain)]) == 2
    said = capfd.readouterr().err
    assert "two.yaml" in said
    assert "optim.lr: expected a number, got 'fast'" in said
    assert not (tmp_path / "out").exists()


def test_what_a_stage_gets_from_its_chain(chain: Path, tmp_path: Path) -> None:
    tree = read_tree(chain, ["settings.seed=7"])
    tree.pop("command")
    one, two = stage_recipes(tree, chain)
    assert one.output == tmp_path / "out/one"
    assert one.start_from is None
    assert two.start_from == tmp_path / "out/one/model"
    assert two.model is None
    assert {one.seed, two.seed, one.optim.updates + 5} == {7}


def test_a_chain_of_something_else_is_refused(chain: Path, tmp_path: Path) -> None:
    tree = {"output": "x", "stages": ["one.yaml"]}
    with pytest.raises(UserError, match=r"settings\.start_from: follows from the order"):
        stage_recipes({**tree, "settings": {"start_from": "y"}}, chain)
    with pytest.raises(UserError, match="two have the same file name"):
        stage_recipes({**tree, "stages": ["one.yaml", "a/one.yaml"]}, chain)
    with pytest.raises(UserError, match="is not the recipe of one training run"):
        stage_recipes({**tree, "stages": ["all.yaml"]}, chain)
    with pytest.raises(UserError, match=r"none\.yaml: no such recipe"):
        stage_recipes({**tree, "stages": ["none.yaml"]}, chain)
