"""A run: learns, resumes as if nothing had happened, and says what does not fit."""

from __future__ import annotations

import json
import resource
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from inference.engine import read_calibration
from soundflow.commands.training_plan import training_plan
from soundflow.config.load import build, load
from soundflow.data.config import DataConfig, DataSource
from soundflow.errors import UserError
from soundflow.forms.load_any import load_any
from soundflow.model.precision import DTYPES
from soundflow.model.weights import Checkpoint
from soundflow.shards.writer import write_index, write_shard
from soundflow.train.checkpoints import agreed_state, newest_state
from soundflow.train.claim import run_id
from soundflow.train.held_out import LiveFigures, Poll
from soundflow.train.metrics import newest_measurement, read_metrics
from soundflow.train.recipe import OptimConfig, TrainerIntervals, TrainRecipe
from soundflow.train.run import run
from tests.soundflow.shards.http_store import http_store
from tests.soundflow.small_run import reproducible

Recipes = Callable[..., TrainRecipe]


class Killed(Exception):
    pass


def elsewhere(recipe: TrainRecipe, folder: Path | str) -> DataConfig:
    return replace(recipe.data, sources=(DataSource(folder),))


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_any(folder).model.state_dict()


def killed_after(update: int, recipe: TrainRecipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs until ``update`` updates are taken, then dies without a word."""
    from soundflow.train.module import StreamingModule

    step = StreamingModule.training_step

    def dying(self: StreamingModule, batches: object, index: int) -> None:
        if self.updates == update:
            raise Killed
        step(self, batches, index)

    with monkeypatch.context() as patch:
        patch.setattr(StreamingModule, "training_step", dying)
        with pytest.raises(Killed):
            run(recipe)


def test_learns_to_answer_the_high_tone(recipe: Recipes) -> None:
    """Four streams by heart: every decision and every word."""
    base = recipe("learn")
    data = replace(
        base.data, sources=(replace(base.data.sources[0], train="valid"),), global_batch_size=6
    )
    intervals = replace(base.intervals, validate_every=60, save_every=60, log_every=20)
    result = run(
        recipe("learn", data=data, intervals=intervals, optim=OptimConfig(updates=60, lr=4e-3))
    )
    assert result.metrics["decision_accuracy"] == 1.0
    assert result.metrics["reply_token_accuracy"] == 1.0
    assert result.metrics["decision_f1"] == 1.0


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_killed_run_ends_like_an_unbroken_one(
    recipe: Recipes, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    def named(name: str) -> TrainRecipe:
        base = recipe(name)
        return replace(base, compute=replace(base.compute, precision=precision))

    unbroken = run(named("whole"))
    killed_after(5, named("broken"), monkeypatch)
    resumed = run(named("broken"))
    assert resumed.resumed_at == 4
    want, got = weights(unbroken.model_folder), weights(resumed.model_folder)
    assert all(torch.equal(want[name], got[name]) for name in want)
    assert resumed.metrics == unbroken.metrics
    assert reproducible(resumed.metrics_file) == reproducible(unbroken.metrics_file)
    again = run(named("broken"))  # finished: trains nothing, gives the same
    assert again.metrics == unbroken.metrics


def test_a_resumed_run_keeps_the_number_format_that_it_measured(
    recipe: Recipes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measured(dtype: torch.dtype) -> None:
        monkeypatch.setattr("soundflow.train.compute.choose_dtype", lambda named, *_: (
            dtype if named == "auto" else DTYPES[named]
        ))  # fmt: skip

    auto = replace(recipe(), compute=replace(recipe().compute, precision="auto"))
    measured(torch.bfloat16)
    killed_after(5, auto, monkeypatch)
    measured(torch.float32)
    assert run(auto).precision == "bf16"


def test_a_damaged_state_is_passed_over(recipe: Recipes, monkeypatch: pytest.MonkeyPatch) -> None:
    killed_after(5, recipe(), monkeypatch)
    output = recipe().output
    newest = newest_state(output)
    assert newest is not None
    assert newest.update == 4
    (weights_file,) = newest.folder.glob("*.safetensors")
    weights_file.write_bytes(weights_file.read_bytes()[:-100])
    older = newest_state(output)
    assert older is not None
    assert older.update == 2
    note = older.folder / "state.json"
    for damaged in ("null", "[]", '{"update": "1"}', ""):
        note.write_text(damaged)
        assert newest_state(output) is None
    note.unlink()
    assert newest_state(output) is None


def test_a_state_with_other_bytes_is_passed_over(
    recipe: Recipes, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed_after(5, recipe(), monkeypatch)
    newest = newest_state(recipe().output)
    assert newest is not None
    (weights_file,) = newest.folder.glob("*.safetensors")
    flipped = bytearray(weights_file.read_bytes())
    flipped[-1] ^= 1
    weights_file.write_bytes(flipped)
    agreed = agreed_state(recipe().output)
    assert agreed is not None
    assert agreed.update == 2


def test_the_engine_is_called_with_a_whole_checkpoint(recipe: Recipes) -> None:
    seen: list[Checkpoint] = []

    def listen(checkpoint: Checkpoint, poll: Poll) -> LiveFigures:
        seen.append(checkpoint)
        torch.manual_seed(0)  # what a callable draws must not leak into training
        said = [{"stream": "a", "verdict": "hit", "said": "höher"}]
        return LiveFigures({"f1": 0.25}, {"threshold": 0.25 * len(seen)}, said)

    quiet = run(recipe("quiet"))
    heard = run(recipe("heard"), listen)
    assert len(seen) == 2
    assert seen[0].facts.trained_positions > 80
    assert heard.metrics["event_f1"] == 0.25
    lines = read_metrics(heard.metrics_file)
    assert [r["update"] for r in lines if "valid/event_f1" in r] == [3, 6]
    a, b = weights(quiet.model_folder), weights(heard.model_folder)
    assert all(torch.equal(a[name], b[name]) for name in a)
    said = read_metrics(heard.metrics_file.with_name("transcripts.jsonl"))
    assert [(r["update"], r["said"]) for r in said] == [(3, "höher"), (6, "höher")]
    model = load_any(heard.model_folder).model
    assert read_calibration(heard.model_folder, model) == 0.5
    (heard.model_folder / "calibration.json").write_text('{"threshold": 0.7}')
    (heard.model_folder / "config.json").unlink()
    shutil.rmtree(heard.model_folder.parent / "resume")
    run(recipe("heard"), listen)
    assert read_calibration(heard.model_folder, model) == 0.7, "training again keeps a calibration"


def test_what_a_run_leaves(recipe: Recipes) -> None:
    pages: list[int] = []

    def report(output: Path) -> None:
        pages.append(newest_measurement(output / "metrics.jsonl")[0])

    result = run(recipe(), report=report)
    assert pages == [3, 6], "the page is written at each validation, with what it found"
    lines = read_metrics(result.metrics_file)
    updates = [r for r in lines if "train/loss" in r]
    assert [r["update"] for r in updates] == [1, 2, 3, 4, 5, 6]
    assert updates[0]["train/lr"] > 0
    for r in updates:
        parts = r["train/loss_reply"] + r["train/loss_stream"]
        assert r["train/loss"] == pytest.approx(parts)
    found = load_any(result.model_folder)
    assert (result.precision, result.threads) == ("fp32", 1)
    assert {r["train/bf16"] for r in updates} == {0.0}
    assert found.facts.metrics == result.metrics
    assert found.facts.system == ""
    assert load(result.model_folder.parent / "train.yaml", TrainRecipe) == recipe()
    assert not list(result.model_folder.parent.glob(".*"))


def test_another_recipe_does_not_take_over_a_run(recipe: Recipes) -> None:
    run(recipe())
    with pytest.raises(UserError, match="another recipe") as error:
        run(recipe(seed=7))
    assert error.value.hint == "choose another output, or remove that folder"
    for folder in ("model", "resume"):
        shutil.rmtree(recipe().output / folder)
    with pytest.raises(UserError, match="another recipe") as error:
        run(recipe(seed=7))
    assert "no saved state" in error.value.hint


def test_a_finished_run_is_left_as_it_is(recipe: Recipes) -> None:
    base = recipe(intervals=TrainerIntervals(log_every=1, validate_every=4, save_every=100))
    first = run(base)
    (first.model_folder / "calibration.json").write_text('{"threshold": 0.7}')
    before = {p: p.read_bytes() for p in base.output.rglob("*") if p.is_file()}
    again = run(base)
    assert again.precision is None
    assert again.resumed_at == 6
    assert again.metrics == first.metrics
    assert {p: p.read_bytes() for p in base.output.rglob("*") if p.is_file()} == before


def test_a_model_that_was_not_written_yet_is_written(recipe: Recipes) -> None:
    first = run(recipe())
    want = weights(first.model_folder)
    shutil.rmtree(first.model_folder)
    again = run(recipe())
    assert again.metrics == first.metrics
    got = weights(again.model_folder)
    assert all(torch.equal(want[name], got[name]) for name in want)


def test_a_finished_run_is_not_made_longer(recipe: Recipes) -> None:
    run(recipe())
    with pytest.raises(UserError, match=r"optim\.updates: 6 -> 9") as caught:
        run(recipe(optim=OptimConfig(updates=9, lr=1e-3)))
    assert "start_from=" in caught.value.hint


def test_data_may_move_and_rows_change(
    recipe: Recipes, tone_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed_after(5, recipe(), monkeypatch)
    moved = tmp_path / "moved"
    shutil.copytree(tone_data, moved)
    base = recipe()
    data = replace(base.data, sources=(DataSource(moved),), row_tokens=150)
    before = run_id(base.output)
    assert run(replace(base, data=data)).resumed_at == 4
    assert run_id(base.output) == before, "Weights & Biases goes on with the same run"


def test_data_in_a_store_trains_alike(
    recipe: Recipes, tone_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same run goes on from an address, with a worker that fetches ahead."""
    monkeypatch.setenv("SOUNDFLOW_CACHE", str(tmp_path / "cache"))
    unbroken = run(recipe("whole"))
    killed_after(3, recipe(), monkeypatch)
    with http_store(tone_data) as store:
        source = {"folder": store.url}
        data = replace(elsewhere(recipe(), store.url), workers=1)
        assert build(DataSource, source, "here") == data.sources[0]
        resumed = run(replace(recipe(), data=data))
        assert any(path.endswith(".tar") for path, _ in store.asked)
        plan = training_plan(replace(recipe("plan"), data=data), probe=False)
    assert resumed.resumed_at == 2
    assert reproducible(resumed.metrics_file) == reproducible(unbroken.metrics_file)
    assert plan["data"].startswith(f"{store.url}: 24 streams")
    assert load(resumed.model_folder.parent / "train.yaml", TrainRecipe).data == data


def test_settings_that_were_added_since_take_their_defaults(
    recipe: Recipes, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed_after(5, recipe(), monkeypatch)
    marker = recipe().output / "soundflow.json"
    note = json.loads(marker.read_text())
    del note["settings"]["optim"]["final_share"], note["settings"]["loss"]
    marker.write_text(json.dumps(note))
    with pytest.raises(UserError, match=r"optim\.final_share: 0\.0 -> 0\.5"):
        run(replace(recipe(), optim=replace(recipe().optim, final_share=0.5)))
    assert run(recipe()).resumed_at == 4


def test_nothing_held_out(recipe: Recipes) -> None:
    base = recipe()
    result = run(
        replace(base, data=replace(base.data, sources=(replace(base.data.sources[0], valid=None),)))
    )
    assert result.metrics == {}
    assert not any("valid/loss" in row for row in read_metrics(result.metrics_file))


def test_a_loss_that_is_not_finite_stops_before_the_weights_change(recipe: Recipes) -> None:
    """The step after an enormous one: the state of the update before it is the newest."""
    base = recipe()
    intervals = replace(base.intervals, save_every=1)
    optim = replace(base.optim, lr=1e30, warmup_ratio=0.0)
    with pytest.raises(UserError, match=r"streams: .*tone") as told:
        run(replace(base, intervals=intervals, optim=optim))
    assert "optim.lr" in told.value.hint
    newest = newest_state(base.output)
    assert newest is not None
    assert newest.update == 1


def test_a_full_disk_is_one_line(recipe: Recipes, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit on the size of a file stands for the disk: the state is larger, the rest is not."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, most))
    try:
        with pytest.raises(UserError, match="the disk is full"):
            run(recipe())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    assert newest_state(recipe().output) is None
    assert not list((recipe().output / "resume").iterdir())


def test_what_does_not_fit_is_named(recipe: Recipes, tmp_path: Path) -> None:
    base = recipe()
    with pytest.raises(UserError, match="no such folder"):
        run(replace(base, data=elsewhere(base, tmp_path / "nowhere")))
    with pytest.raises(UserError, match="neither 'tiny' nor a path"):
        run(replace(base, vocabulary="tinny"))
    short = replace(base.model, lm=replace(base.model.lm, max_positions=50))
    with pytest.raises(UserError, match="max_positions is 50"):
        run(replace(base, model=short))
    with pytest.raises(UserError, match=r"exceeds data\.row_tokens=50"):
        run(replace(base, data=replace(base.data, row_tokens=50)))


def test_an_empty_split_is_named(recipe: Recipes, tmp_path: Path, spec) -> None:
    write_index(
        tmp_path / "d" / "train", spec, [write_shard(tmp_path / "d/train", 0, "k", [], spec)]
    )
    base = recipe()
    with pytest.raises(UserError, match="holds no streams"):
        run(replace(base, data=elsewhere(base, tmp_path / "d")))


def test_weights_of_another_run_are_the_start(recipe: Recipes) -> None:
    first = run(recipe("first"))
    second = recipe(
        "second", model=None, start_from=first.model_folder, optim=OptimConfig(updates=1, lr=1e-9)
    )
    a, b = weights(first.model_folder), weights(run(second).model_folder)
    assert all(torch.allclose(a[name], b[name], atol=1e-6) for name in a)


def test_a_model_has_sizes_or_a_checkpoint_to_start_from(recipe: Recipes) -> None:
    with pytest.raises(ValueError, match="neither given"):
        recipe(model=None)
    with pytest.raises(ValueError, match="both given"):
        recipe(start_from=Path("somewhere"))


def test_misspelt_keys_are_named(tmp_path: Path) -> None:
    path = tmp_path / "train.yaml"
    path.write_text(json.dumps({
        "output": "x", "data": {"sources": [{"folder": "d"}], "row_token": 4},
        "optim": {"updates": 5, "lr": "fast"}, "compute": {"precision": "bf61"},
    }))  # fmt: skip
    with pytest.raises(UserError) as caught:
        load(path, TrainRecipe)
    text = caught.value.message
    assert "data.row_token" in text
    assert "row_tokens" in text
    assert "optim.lr" in text
    assert "did you mean 'bf16'" in text


def test_states_hold_nothing_that_runs(recipe: Recipes, monkeypatch: pytest.MonkeyPatch) -> None:
    killed_after(3, recipe(), monkeypatch)
    files = [p for p in (recipe().output / "resume").rglob("*") if p.is_file()]
    assert {p.suffix for p in files} == {".safetensors", ".json"}
