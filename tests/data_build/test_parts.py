"""One build by many tasks: the same bytes, however many they are and whoever comes last."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from data_build.recipe import BuildRecipe
from data_build.run import build, build_part
from data_build.shard_plan import Part
from soundflow.config.load import load
from soundflow.shards.reader import ShardSet
from tests.data_build.small_recipe import fingerprints, write_recipe

pytest.importorskip("py_nanotts")
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("whole")
    build(load(write_recipe(folder, folder / "data"), BuildRecipe, ["workers=1"]))
    return fingerprints(folder / "data")


def part(recipe: Path, words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "soundflow.cli", "build-data", str(recipe), "workers=1"]
    return subprocess.run(
        [*command, "--part", words], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_the_last_of_any_number_of_parts_finishes_the_build(
    whole: dict[str, str], tmp_path: Path
) -> None:
    recipe = load(write_recipe(tmp_path, tmp_path / "data"), BuildRecipe, ["workers=1"])
    first = build_part(recipe, Part(2, 3))
    assert (first.made, first.kept, first.waiting) == (2, 0, 4)
    assert first.summary is None
    assert not list((tmp_path / "data").rglob("index.json"))
    # another number of tasks from here on
    half = build_part(recipe, Part(0, 2))
    assert (half.made, half.kept, half.waiting) == (2, 1, 2)
    last = build_part(recipe, Part(1, 2))
    assert (last.made, last.kept, last.waiting) == (2, 1, 0)
    assert last.summary is not None
    assert last.summary.streams == 14
    assert fingerprints(tmp_path / "data") == whole
    again = build_part(recipe, Part(6, 7))  # a task without work
    assert (again.made, again.waiting) == (0, 0)
    assert fingerprints(tmp_path / "data") == whole


def test_tasks_at_the_same_time_write_one_build(whole: dict[str, str], tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, tmp_path / "data")
    with ThreadPoolExecutor(3) as pool:
        done = list(pool.map(lambda i: part(recipe, f"{i}/3"), range(3)))
    assert [d.returncode for d in done] == [0, 0, 0], [d.stderr for d in done]
    assert fingerprints(tmp_path / "data") == whole
    assert len(ShardSet(tmp_path / "data" / "train")) == 10
    assert not list((tmp_path / "data").rglob("*.partial"))


@pytest.mark.parametrize("words", ["3/3", "-1/2", "1", "a/b", "1/0"])
def test_an_impossible_part_is_the_users_mistake(tmp_path: Path, words: str) -> None:
    done = part(write_recipe(tmp_path, tmp_path / "data"), words)
    assert done.returncode == 2
    assert not (tmp_path / "data").exists()
