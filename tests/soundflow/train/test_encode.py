"""Cached features: the losses of a tower that runs, computed once, never taken for others."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from torch import Tensor

from soundflow.data.augment import AudioAugmentConfig, AugmentConfig
from soundflow.data.config import DataConfig, LengthWarmUp
from soundflow.data.encoded import EncodedStreams
from soundflow.errors import Stopped, UserError
from soundflow.model.interaction import AudioInteractionModel
from soundflow.train.recipe import StageConfig, TrainRecipe
from soundflow.train.run import run
from tests.soundflow.small_run import update_rows
from tests.soundflow.train.two_ranks import train

Recipes = Callable[..., TrainRecipe]
ADAPTER = StageConfig(train=("encoder.proj.*", "lm.*"))
BF16 = 2.0**-8  # the rounding of a state; that of a loss is far smaller


def cached(recipe: TrainRecipe, folder: Path) -> TrainRecipe:
    data = replace(recipe.data, features="cached", features_folder=folder, features_max_gb=0.1)
    return replace(recipe, data=data)


@pytest.fixture
def frozen(recipe: Recipes) -> Recipes:
    """Cut streams too: warm-up and truncation cut the states as they cut the mel."""

    def make(name: str, stage: StageConfig = ADAPTER) -> TrainRecipe:
        base = recipe(name, stage=stage)
        warm_up = LengthWarmUp(updates=3, from_chunks=2, to_chunks=5)
        return replace(base, data=replace(base.data, truncate=0.5, length_warm_up=warm_up))

    return make


def test_losses_are_those_of_live_features(
    frozen: Recipes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = update_rows(run(frozen("live")).metrics_file)
    found = update_rows(run(cached(frozen("cached"), tmp_path / "f")).metrics_file)
    assert len(live) == len(found) == 6
    for a, b in zip(live, found, strict=True):
        for name in ("loss", "loss_stream", "loss_reply", "grad_norm"):
            assert b[f"train/{name}"] == pytest.approx(a[f"train/{name}"], rel=BF16), name
    files = {p: p.stat().st_mtime_ns for p in (tmp_path / "f").rglob("*.safetensors")}
    assert len(files) == 2, "one for each shard"

    def never(*_: object) -> Tensor:
        raise AssertionError("a tower ran")

    # A later stage over the same frozen tower takes what is there.
    rows = StageConfig(train=(), rows=("lm.model.embed_tokens.weight",))
    later = cached(frozen("later", rows), tmp_path / "f")
    data = replace(later.data, features_max_gb=0.0, sources=(
        replace(later.data.sources[0], valid=None),
    ))  # fmt: skip
    monkeypatch.setattr(AudioInteractionModel, "encode_states", never)
    run(replace(later, data=data))
    assert {p: p.stat().st_mtime_ns for p in files} == files


@pytest.mark.slow
def test_two_ranks_share_the_work(frozen: Recipes, tmp_path: Path) -> None:
    alone = update_rows(run(cached(frozen("alone"), tmp_path / "by one")).metrics_file)
    two = cached(frozen("two"), tmp_path / "by two")
    two = replace(two, compute=replace(two.compute, devices=2))
    train(two, tmp_path)
    for a, b in zip(alone, update_rows(two.output / "metrics.jsonl"), strict=True):
        assert b == pytest.approx(a, rel=1e-5, abs=1e-6)
    names = [{p.name for p in (tmp_path / n).rglob("*.safetensors")} for n in ("by one", "by two")]
    assert names[0] == names[1]


def test_nothing_is_written_that_the_recipe_does_not_allow(frozen: Recipes, tmp_path: Path) -> None:
    base = cached(frozen("run"), tmp_path / "f")
    base = replace(base, data=replace(base.data, features_max_gb=0.0))
    with pytest.raises(UserError, match=r"7\.\d+e-05 GB of features would be written") as caught:
        run(base)
    assert "data.features_max_gb=0.001" in caught.value.hint
    assert not (tmp_path / "f").exists()


def test_a_tower_that_trains_is_refused(frozen: Recipes, tmp_path: Path) -> None:
    whole = cached(frozen("run", StageConfig(train=("*",))), tmp_path / "f")
    with pytest.raises(UserError, match=r"stage\.train trains encoder\.conv1\.weight"):
        run(whole)


def test_augmentation_is_refused(frozen: Recipes, tmp_path: Path) -> None:
    data = cached(frozen("run"), tmp_path / "f").data
    audio = AugmentConfig(audio=AudioAugmentConfig(gain_db=6.0))
    with pytest.raises(ValueError, match=r"features=cached .* augment\.audio"):
        replace(data, augment=audio)
    with pytest.raises(ValueError, match="which augment changes"):
        replace(data, augment=AugmentConfig(gaps=1))
    with pytest.raises(ValueError, match="features_folder says where"):
        DataConfig(data.sources, features="cached")


def test_a_warning_ends_it_after_a_shard_which_is_kept(
    frozen: Recipes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, write = cached(frozen("run"), tmp_path / "f"), EncodedStreams.write

    def warned(self: EncodedStreams, *place: object) -> None:
        write(self, *place)  # type: ignore[arg-type]
        os.kill(os.getpid(), signal.SIGUSR1)

    with monkeypatch.context() as patch:
        patch.setattr(EncodedStreams, "write", warned)
        with pytest.raises(Stopped, match="no state was saved"):
            run(base)
    assert len(list((tmp_path / "f").rglob("*.safetensors"))) == 1
    assert run(base).resumed_at == 0


def test_another_tower_has_features_of_its_own(frozen: Recipes, tmp_path: Path) -> None:
    run(cached(frozen("first"), tmp_path / "f"))
    run(replace(cached(frozen("second"), tmp_path / "f"), seed=1))
    assert len(list((tmp_path / "f").iterdir())) == 2


def test_damaged_features_are_named(frozen: Recipes, tmp_path: Path) -> None:
    base = cached(frozen("run"), tmp_path / "f")
    run(base)
    for path in (tmp_path / "f").rglob("*.safetensors"):
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    abandoned = path.with_name(f".{path.name}.{socket.gethostname()}.{2**22 + 1}.partial")
    abandoned.touch()
    with pytest.raises(UserError, match=r"damaged features .*\.safetensors"):
        run(replace(base, output=base.output.with_name("again")))
    assert not abandoned.exists()
