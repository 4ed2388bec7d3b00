"""A recipe with a mistake is refused with key, value and the nearest right name."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from soundflow.config.load import load
from soundflow.config.record import recipe_hash, record
from soundflow.errors import UserError


@dataclass(frozen=True)
class Optimiser:
    learning_rate: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.95)
    schedule: Literal["cosine", "constant"] = "cosine"

    def __post_init__(self) -> None:
        if self.learning_rate <= 0:
            raise ValueError(f"learning_rate must be positive, got {self.learning_rate}")


@dataclass(frozen=True)
class Recipe:
    data: Path
    updates: int = 10
    optimiser: Optimiser = field(default_factory=Optimiser)
    weights: dict[str, float] = field(default_factory=dict)
    stages: tuple[Optimiser, ...] = ()
    limit: int | None = None
    shuffle: bool = True


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    return path


def test_a_whole_recipe(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        """
        root: /data
        data: /data/train
        updates: 5
        optimiser: {learning_rate: 1e-4, betas: [0.9, 0.99]}
        weights: {asr: 1, chat: 0.5}
        stages: [{learning_rate: 1}, {schedule: constant}]
        limit: null
        """.replace("        root: /data\n", ""),
    )
    recipe = load(path, Recipe, ["optimiser.learning_rate=0.5", "shuffle=false"])
    assert recipe == Recipe(
        data=Path("/data/train"),
        updates=5,
        optimiser=Optimiser(0.5, (0.9, 0.99)),
        weights={"asr": 1.0, "chat": 0.5},
        stages=(Optimiser(1.0), Optimiser(schedule="constant")),
        shuffle=False,
    )


def test_interpolation(tmp_path: Path) -> None:
    recipe = load(write(tmp_path, "data: ${oc.env:NOWHERE,/x}/train"), Recipe)
    assert recipe.data == Path("/x/train")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("data: x\nupdate: 3", r"update: unknown key \(value 3\); did you mean 'updates'"),
        ("data: x\noptimiser: {learnin_rate: 1}", r"optimiser\.learnin_rate.*'learning_rate'"),
        ("data: x\nupdates: many", r"updates: expected a whole number, got 'many'"),
        ("data: x\nupdates: 1.5", r"updates: expected a whole number, got 1\.5"),
        ("data: x\nupdates: true", r"updates: expected a whole number, got true"),
        ("data: x\nshuffle: 1", r"shuffle: expected true or false, got 1"),
        ("data: x\nlimit: x", r"limit: expected a whole number, got 'x'"),
        ("data: x\noptimiser: 3", r"optimiser: expected a mapping, got 3"),
        ("data: x\noptimiser: {learning_rate: -1}", r"learning_rate must be positive, got -1"),
        ("data: x\noptimiser: {schedule: cosin}", r"did you mean 'cosine'"),
        ("data: x\noptimiser: {betas: [1]}", r"betas: expected 2 values"),
        ("data: x\nstages: 3", r"stages: expected a list"),
        ("data: x\nstages: [{learning_rate: a}]", r"stages\[0\]\.learning_rate: expected a number"),
        ("data: x\nweights: {a: b}", r"weights\.a: expected a number, got 'b'"),
        ("updates: 3", r"data: is missing"),
        ("- 1", "mapping"),
        ("data: [", "recipe.yaml"),
        ("data: ${nowhere}", "nowhere"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UserError, match=said) as caught:
        load(write(tmp_path, text), Recipe)
    assert "recipe.yaml" in caught.value.message


def test_all_mistakes_at_once(tmp_path: Path) -> None:
    path = write(tmp_path, "data: x\nupdates: a\nlimt: 3\noptimiser: {schedule: z}")
    with pytest.raises(UserError) as caught:
        load(path, Recipe)
    assert len(caught.value.message.splitlines()) == 3


@pytest.mark.parametrize("word", ["updates", "=3"])
def test_a_word_that_is_no_override(tmp_path: Path, word: str) -> None:
    with pytest.raises(UserError, match="override"):
        load(write(tmp_path, "data: x"), Recipe, [word])


def test_a_missing_recipe(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nothing\.yaml: no such recipe"):
        load(tmp_path / "nothing.yaml", Recipe)
    with pytest.raises(UserError, match="is a folder"):
        load(tmp_path, Recipe)


def test_a_recipe_is_for_one_command(tmp_path: Path) -> None:
    path = write(tmp_path, "command: train\ndata: x")
    assert load(path, Recipe, command="train") == Recipe(Path("x"))
    with pytest.raises(UserError, match=r"recipe\.yaml: is a recipe for `soundflow train`"):
        load(path, Recipe, command="build-data")


def test_a_recorded_recipe_reads_back(tmp_path: Path) -> None:
    recipe = Recipe(Path("x"), stages=(Optimiser(0.25),), limit=4)
    record(tmp_path / "recipe.yaml", recipe)
    again = load(tmp_path / "recipe.yaml", Recipe)
    assert again == recipe
    assert recipe_hash(again) == recipe_hash(recipe) != recipe_hash(Recipe(Path("y")))
