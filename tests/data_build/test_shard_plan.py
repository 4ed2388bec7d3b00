"""Splits of a stated time: as many streams as complete it, whatever came between."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from data_build.recipe import BuildRecipe
from data_build.run import build, build_part
from data_build.shard_plan import Part, stream_number
from soundflow.config.load import load
from soundflow.errors import UserError
from soundflow.shards.reader import ShardSet
from tests.data_build.small_recipe import fingerprints, write_recipe

pytest.importorskip("py_nanotts")
HOURS = 70 / 3600  # some eight of its streams, in shards of three
TIMED = ["workers=1", "splits.train.streams=null", f"splits.train.hours={HOURS}"]


def recipe_of(folder: Path, *overrides: str) -> BuildRecipe:
    return load(write_recipe(folder, folder / "data"), BuildRecipe, [*TIMED, *overrides])


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hours")
    build(recipe_of(folder))
    return folder / "data"


def test_streams_are_made_up_to_the_one_that_completes_the_time(whole: Path) -> None:
    shards = ShardSet(whole / "train")
    lengths_s = [shards.record(at).n_samples / 16_000 for at in range(len(shards))]
    assert sum(lengths_s[:-1]) < HOURS * 3600 <= sum(lengths_s)
    numbers = [stream_number(shards.record(at).id) for at in range(len(shards))]
    assert numbers == sorted(numbers)
    assert len(shards) % 3, "choose a time that ends inside a shard, so that this is tested"


def test_a_build_begun_with_other_shards_ends_with_the_same_bytes(
    whole: Path, tmp_path: Path
) -> None:
    """Of an earlier run, only a later shard is left; then an interrupted build goes on."""
    before = fingerprints(whole)
    data = tmp_path / "data"
    shutil.copytree(whole, data)
    for name in ("000000.tar", "000002.json"):
        (data / "train" / name).unlink()
    summary = build(recipe_of(tmp_path, "workers=2"))
    assert fingerprints(data) == before
    assert summary.shards_made >= 1
    assert build(recipe_of(tmp_path)).shards_made == 0
    assert fingerprints(data) == before


def test_more_hours_keep_the_streams_that_are_there(whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path / "data")
    build(recipe_of(tmp_path, f"splits.train.hours={HOURS * 1.5}"))
    few, many = ShardSet(whole / "train"), ShardSet(tmp_path / "data" / "train")
    assert len(many) > len(few)
    for at in range(len(few)):
        assert few.record(at) == many.record(at)
    build(recipe_of(tmp_path))  # and fewer again: what is not needed is removed
    assert fingerprints(tmp_path / "data") == fingerprints(whole)


def test_parts_make_the_same_split(whole: Path, tmp_path: Path) -> None:
    recipe = recipe_of(tmp_path)
    build_part(recipe, Part(1, 2))
    build_part(recipe, Part(0, 2))
    build_part(recipe, Part(0, 1))  # the last one makes what only now is known to lack
    assert fingerprints(tmp_path / "data") == fingerprints(whole)


@pytest.mark.parametrize(
    ("split", "words"),
    [
        ("{streams: null}", "expected one of streams and hours, got neither"),
        ("{streams: 3, hours: 1.0}", "expected one of streams and hours, got both"),
        ("{streams: null, hours: 0}", "hours"),
    ],
)
def test_a_split_has_streams_or_hours(tmp_path: Path, split: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        load(write_recipe(tmp_path, tmp_path / "data"), BuildRecipe, [f"splits.train={split}"])


def test_hours_of_nothing_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("data_build.shard_job._stream", _never)
    with pytest.raises(UserError, match=r"none of the first \d+ streams could be made"):
        build(recipe_of(tmp_path, "max_dropped_share=1.0", "splits.test.streams=1"))


def _never(*_: object) -> None:
    from data_build.drops import Drop, Dropped

    raise Dropped(Drop("plan", "nothing", "cannot be made"))


def test_check_estimates_the_streams_and_the_disk(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from soundflow.cli import main

    path = write_recipe(tmp_path, tmp_path / "data")
    main(["check", str(path), "splits.train={hours: 100, streams: null}", "--json"])
    plan = json.loads(capsys.readouterr().out)["plan"]
    assert plan["split train"].startswith("100 h: about ")
    assert "GB of disk" in plan["split train"]
