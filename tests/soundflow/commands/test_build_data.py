"""What a build says when it is done, and what its output is known by."""

from __future__ import annotations

from dataclasses import replace

from data_build.recipe import BuildRecipe, SplitConfig
from data_build.sources.source import SourceConfig
from data_build.tasks.config import CueConfig
from soundflow.commands.build_data import dropped, output_of
from soundflow.output import differences

RECIPE = BuildRecipe(
    output="data",
    splits={"train": SplitConfig(streams=10)},
    cues=(CueConfig("beep", sound="beep"),),
    sources=(SourceConfig("musan", "/there"),),
)


def test_many_reasons_are_a_few_lines() -> None:
    counted = {f"read: reason {i}": i for i in range(1, 1001)}
    lines = dropped(counted, "data").splitlines()
    assert lines[0] == "dropped: 500,500 items, see data/drops.jsonl"
    assert lines[1] == "  1,000 x read: reason 1000"
    assert lines[-1] == "  495,510 for 995 other reasons"
    assert len(lines) == 7
    assert dropped({}, "data") == "dropped: none"


def differ(other: BuildRecipe) -> set[str]:
    before, now = output_of(RECIPE), output_of(other)
    return set(differences(before.settings, now.settings, now.may_grow))


def test_where_and_how_fast_it_is_made_makes_no_other_build() -> None:
    moved = (replace(RECIPE.sources[0], root="/elsewhere"),)
    same = replace(RECIPE, output="x", workers=7, max_dropped_share=0.5, sources=moved)
    assert not differ(same)
    assert not differ(replace(RECIPE, splits={"train": SplitConfig(streams=20)}))


def test_what_decides_about_a_stream_makes_another_build() -> None:
    assert differ(replace(RECIPE, seed=1)) == {"seed"}
    assert differ(replace(RECIPE, splits={"train": SplitConfig(streams=5)})) == {
        "splits.train.streams"
    }
    quiet = replace(RECIPE.compose, noise=replace(RECIPE.compose.noise, snr_db=(0.0, 10.0)))
    assert differ(replace(RECIPE, compose=quiet)) == {"compose.noise.snr_db"}
