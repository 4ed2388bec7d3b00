"""Benchmarks measured by the live engine, from recipe to results."""

from __future__ import annotations

import json

import pytest

from inference.decoder.sampling import SamplingConfig
from inference.evaluate.benchmarks.covost import CovostConfig
from inference.evaluate.benchmarks.proactive_sound import ProactiveSoundConfig
from inference.evaluate.recipe import EvaluateRecipe
from inference.evaluate.run import evaluate
from inference.evaluate.suite import BenchmarksConfig
from soundflow.errors import UserError
from soundflow.model.facts import TrainingFacts
from soundflow.model.weights import save_checkpoint
from tests.inference.engines import make_engine
from tests.inference.evaluate.benchmarks.published_data import listed, saved

pytest.importorskip("sacrebleu")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("suite")
    engine = make_engine()
    facts = TrainingFacts(400, engine.system)
    save_checkpoint(folder / "model", engine.model, engine.tokenizer, engine.spec, facts)
    listed(
        folder / "sounds",
        [
            {"label": label, "domain": "home", "sub_category": "kitchen", "seconds": 0.8}
            for label in ("RESPOND", "IGNORE", "IGNORE")
        ],
    )
    (folder / "sounds" / "2.flac").write_bytes(b"no audio")
    saved(folder / "speech", "test", [{"id": "a", "translation": "Good.", "seconds": 0.8}])
    return folder


def recipe_of(place, output: str, **settings) -> EvaluateRecipe:
    sounds = ProactiveSoundConfig(data=str(place / "sounds"), tiers=("single",), pause_s=0.4)
    covost = CovostConfig(
        data=str(place / "speech"), pairs=("zh-CN_en",), pause_s=0.4,
        instructions={"streaming": "Say it in {target} as you hear it."},
    )  # fmt: skip
    return EvaluateRecipe(
        checkpoint=place / "model", output=place / output, threshold=0.0,
        sampling=SamplingConfig(temperature=0.0, max_reply_tokens=4),
        benchmarks=BenchmarksConfig(proactive_sound=sounds, covost=covost), **settings,
    )  # fmt: skip


def test_a_recipe_ends_in_figures_rows_and_predictions(place):
    recipe = recipe_of(place, "out", streams_at_once=1)
    results = evaluate(recipe)
    sounds, covost = results.tasks
    assert (sounds.name, covost.name) == ("proactive_sound_single", "covost_zh_cn_en_streaming")
    assert set(sounds.systems) == {"model", "never", "always"}
    figures = sounds.systems["model"].figures
    # It always replies; the unreadable clip is wrong, and left out of the official figure alone.
    assert (figures["accuracy"].value, figures["accuracy"].n) == (pytest.approx(1 / 3), 3)
    assert (figures["official_accuracy"].value, figures["official_accuracy"].n) == (0.5, 2)
    assert sounds.failures[0].startswith("0002: unreadable audio")
    said = (recipe.output / "predictions" / "proactive_sound_single.jsonl").read_text()
    assert [json.loads(x)["prediction"] for x in said.splitlines()] == ["RESPOND"] * 2 + [None]
    measured = covost.systems["model"].figures
    assert measured["bleu"].n == 1
    assert measured["laal_aware_s"].value > measured["laal_s"].value, "computation takes time"
    stored = json.loads((recipe.output / "results.json").read_text())
    of_covost = stored["tasks"]["covost_zh_cn_en_streaming"]["systems"]["model"]["figures"]
    assert of_covost["bleu"]["signature"]


def test_another_instruction_is_another_outcome(place):
    recipe = recipe_of(place, "asked", streams_at_once=4)
    evaluate(recipe)
    before = {p.name for p in (recipe.output / "outcomes").iterdir()}
    covost = CovostConfig(
        data=str(place / "speech"),
        pairs=("zh-CN_en",),
        instructions={"streaming": "Say it in {target}."},
        pause_s=0.4,
    )
    other = EvaluateRecipe(
        checkpoint=recipe.checkpoint, output=recipe.output, threshold=0.0,
        sampling=recipe.sampling, benchmarks=BenchmarksConfig(covost=covost),
    )  # fmt: skip
    evaluate(other)
    assert len({p.name for p in (recipe.output / "outcomes").iterdir()} - before) == 1


def test_two_items_with_one_id_are_refused(place, tmp_path):
    same = {"label": "RESPOND", "domain": "home", "sub_category": "door", "id": "x", "seconds": 0.4}
    listed(tmp_path / "sounds", [same, same])
    sounds = ProactiveSoundConfig(data=str(tmp_path / "sounds"), tiers=("single",))
    recipe = EvaluateRecipe(
        checkpoint=place / "model", output=tmp_path / "out",
        benchmarks=BenchmarksConfig(proactive_sound=sounds),
    )  # fmt: skip
    with pytest.raises(UserError, match="2 items of its data have the id 'x'"):
        evaluate(recipe)
