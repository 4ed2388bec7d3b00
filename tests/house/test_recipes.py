"""Every recipe resolves, and the README names only what exists."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from data_build.recipe import BuildRecipe
from soundflow.arguments import parser
from soundflow.cli import main
from soundflow.config.load import load
from soundflow.train.recipe import TrainRecipe
from tests.house.documented_commands import PAGES, ROOT

RECIPES = sorted((ROOT / "recipes").rglob("*.yaml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_recipe_resolves(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    assert main(["check", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["plan"]


def test_a_build_recipe_makes_what_the_stages_train_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders and splits: otherwise four recipes load, and the first of them finds no data."""
    monkeypatch.chdir(ROOT)
    builds = [load(path, BuildRecipe) for path in (ROOT / "recipes/build").glob("*.yaml")]
    made = {Path(recipe.output) / split for recipe in builds for split in recipe.splits}
    stages = sorted((ROOT / "recipes/train").glob("stage*.yaml"))
    assert len(stages) == 4
    for path in stages:
        for source in load(path, TrainRecipe).data.sources:
            assert source.valid is not None
            assert {source.folder / source.train, source.folder / source.valid} <= made, path


def test_check_shows_what_another_chunk_comes_to(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    recipe = "recipes/ablation/chunk.yaml"
    assert main(["check", recipe, "stream.chunk_s=0.8", "--json"]) == 0
    found = json.loads(capfd.readouterr().out)
    assert found["recipe"]["stream"] == {
        "chunk_s": 0.8, "maximum": "window", "window_chunks": 60,
    }  # fmt: skip
    assert main(["check", recipe, "stream.chunk_s=0.5"]) == 2
    said = capfd.readouterr().err
    assert "chunk_s must be a multiple of 0.04 s, got 0.5; nearest: 0.48 or 0.52" in said


def test_a_misspelt_key_is_refused_before_any_work(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    assert main(["train", "recipes/quickstart/train.yaml", "optim.updatez=3"]) == 2
    said = capfd.readouterr().err
    assert "optim.updatez: unknown key (value 3); did you mean 'updates'?" in said
    assert "Traceback" not in said


def test_a_recipe_of_another_command_is_refused(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    assert main(["train", "recipes/quickstart/build.yaml"]) == 2
    assert "is a recipe for `soundflow build-data`" in capfd.readouterr().err


def test_an_unknown_command_and_a_bare_call_are_mistakes() -> None:
    for words in (["trian"], []):
        with pytest.raises(SystemExit) as caught:
            parser().parse_args(words)
        assert caught.value.code == 2


def test_a_target_of_make_that_a_page_names_exists() -> None:
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M)
    pages = [file.read_text() for pattern in PAGES for file in ROOT.glob(pattern)]
    named = {t for text in pages for t in re.findall(r"(?:^|`)make ([a-z]+)(?:`|   )", text, re.M)}
    assert named
    assert named <= set(targets)


def test_the_readme_names_files_that_exist() -> None:
    text = (ROOT / "README.md").read_text()
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert target.startswith("http") or (ROOT / target).exists(), target
