"""Every recipe of one ability is built as it stands, only smaller."""

from __future__ import annotations

from pathlib import Path

import pytest

from data_build.recipe import BuildRecipe
from data_build.run import build
from data_build.tasks.table import FORMS, TASKS
from soundflow.config.load import load
from soundflow.shards.reader import ShardSet

pytest.importorskip("py_nanotts")
pytest.importorskip("hibari")
ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("ability", sorted({task.ability for task in TASKS.values()}))
def test_the_recipe_of_an_ability_makes_all_of_its_tasks(
    ability: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)  # the recipes name their texts from here
    words = [
        f"output={tmp_path / 'data'}", "workers=1", "splits.train.streams=9",
        "splits.valid.streams=5", "splits.train.voices=3", "splits.valid.voices=2",
    ]  # fmt: skip
    if ability == "voice_chat":
        words.append("speech.asr_models={}")  # the check has tests of its own
    recipe = load(f"recipes/build/{ability}.yaml", BuildRecipe, words, command="build-data")
    summary = build(recipe)
    assert summary.streams == 14
    train = ShardSet(tmp_path / "data" / "train")
    records = [train.record(i) for i in range(len(train))]
    made = {r.task for r in records if r.kind == "online"}
    assert made == {task.name for task in TASKS.values() if task.ability == ability}
    assert {r.ability for r in records if r.kind == "online"} == {ability}
    voices = {
        split: {
            i.speaker
            for shards in [ShardSet(tmp_path / "data" / split)]
            for n in range(len(shards))
            for i in shards.record(n).items
        }
        - {""}
        for split in ("train", "valid")
    }
    assert not voices["train"] & voices["valid"]  # no speaker on both sides


def test_the_recipe_of_offline_samples_makes_every_form(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    words = [
        f"output={tmp_path / 'data'}", "workers=1", "splits.train.streams=6",
        "splits.valid.streams=3", "splits.train.voices=3", "splits.valid.voices=2",
    ]  # fmt: skip
    build(load("recipes/build/offline.yaml", BuildRecipe, words, command="build-data"))
    for name in ("train", "valid"):
        split = ShardSet(tmp_path / "data" / name)
        records = [split.record(i) for i in range(len(split))]
        assert {r.kind for r in records} == {"offline"}
        assert {r.task for r in records} == set(FORMS)
        for record in records:
            assert record.offline is not None
            assert record.offline.answer
            assert (record.offline.user is None) == (record.task == "a_t")
            assert (record.n_samples == 0) == (record.task == "t_t")
