"""Every block of docs/speech.md is loaded as part of a recipe."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from data_build.recipe import BuildRecipe
from soundflow.config.load import load

PAGE = Path(__file__).resolve().parents[3] / "docs/speech.md"
BLOCKS = re.findall(r"^```yaml\n(.*?)^```", PAGE.read_text(), re.M | re.S)


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_a_block_is_part_of_a_recipe(number: int, tmp_path: Path) -> None:
    block = BLOCKS[number]
    recipe = tmp_path / "build.yaml"
    rest = "output: data\ncues: [{name: hello, say: hello, reply: Hi.}]\n"
    splits = "" if "splits:" in block else "splits: {train: {streams: 1}}\n"
    recipe.write_text(rest + splits + block)
    loaded = load(recipe, BuildRecipe)
    for voice in loaded.speech.pool.voices:
        engine, name = voice.split(":", 1)
        if engine in loaded.speech.servers:
            assert name in loaded.speech.servers[engine].voices


def test_the_page_shows_every_part() -> None:
    shown = "\n".join(BLOCKS)
    for key in (
        "pool:",
        "servers:",
        "asr_server:",
        "gate:",
        "asr_models:",
        "aligners:",
        "allow_even:",
        "llm:",
    ):
        assert key in shown
