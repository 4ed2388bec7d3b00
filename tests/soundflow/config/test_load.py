"""A recipe with a mistake is refused with key, value and the nearest right name."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import pydantic.dataclasses
import pytest
from annotated_types import MinLen
from pydantic import AllowInfNan, PositiveFloat, PositiveInt

from soundflow.config.load import load
from soundflow.config.record import recipe_hash, record
from soundflow.config.settings import SETTINGS, Fraction, Seed, SplitName, Workers
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
        ("data: x\nlearning_rate: 1", r"unknown key .*; did you mean 'optimiser\.learning_rate'"),
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
        ("data: ${nowhere}", "data: Interpolation key 'nowhere' not found"),
        ("data: ${oc.env:NOWHERE}", "data: Environment variable 'NOWHERE' not found\\n"),
        ("data: x\nweights:\n  a: ???", r"weights\.a: Missing mandatory value"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UserError, match=said) as caught:
        load(write(tmp_path, text), Recipe)
    assert "recipe.yaml" in caught.value.message


@pydantic.dataclasses.dataclass(frozen=True, config=SETTINGS)
class Bounded:
    rate: PositiveFloat = 1.0
    range_db: tuple[float, float] = (0.0, 1.0)
    share: Fraction = 0.5
    steps: PositiveInt = 1
    seed: Seed = 0
    workers: Workers = 0
    split: SplitName = "train"
    level: PositiveFloat | None = None
    noise: Literal["white", "pink"] | Optimiser = "white"
    parts: tuple[float | tuple[float, float], ...] = ()
    name: Annotated[str, MinLen(1)] = "x"
    names: Annotated[tuple[str, ...], MinLen(1)] = ("x",)
    any_number: Annotated[float, AllowInfNan(True)] = 0.0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rate: .nan", "rate: expected a finite number, got nan"),
        ("rate: .inf", "rate: expected a finite number, got inf"),
        ("rate: 0", "rate: must be greater than 0, got 0"),
        ("rate: -1e-9", "rate: must be greater than 0"),
        ("rate: null", "rate: expected a number, got null"),
        ("rate: '1'", "rate: expected a number, got '1'"),
        ("range_db: [.nan, 1]", r"range_db\[0\]: expected a finite number"),
        ("range_db: [1, 2, 3]", "range_db: expected 2 values"),
        ("share: 1.5", "share: must be less than or equal to 1, got 1.5"),
        ("steps: 0", "steps: must be greater than 0"),
        ("steps: 1.0", "steps: expected a whole number"),
        ("seed: -1", "seed: must be greater than or equal to 0"),
        ("seed: 99999999999999999999", "seed: must be less than"),
        ("workers: 100000", "workers: must be less than or equal to"),
        ("split: ../x", r"split: '\.\./x' is not a split name"),
        ("split: test.clean", "split: 'test.clean' is not a split name"),
        ("split: ''", "split: '' is not a split name"),
        ("level: -1", "level: must be greater than 0, got -1"),
        ("noise: whit", "noise: 'whit' is not one of 'white' or 'pink'; did you mean 'white'?"),
        ("noise: {learnin_rate: 1}", r"noise\.learnin_rate: unknown key.*'learning_rate'"),
        ("noise: {learning_rate: a}", r"noise\.learning_rate: expected a number, got 'a'"),
        ("parts: [1, [2, x]]", r"parts\[1\]\[1\]: expected a number, got 'x'"),
        ("name: ''", "name: must not be empty"),
        ("names: []", "names: must not be empty"),
        ("rate: ???", "rate"),
        ("rate: !!binary aGk=", "recipe.yaml: .*bytes"),
    ],
)
def test_bounds_stand_with_the_field(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UserError, match=said) as caught:
        load(write(tmp_path, text), Bounded)
    assert len(caught.value.message.splitlines()) == 1


def test_settings_made_in_python_have_the_same_bounds() -> None:
    with pytest.raises(ValueError, match="rate"):
        Bounded(rate=float("nan"))
    with pytest.raises(ValueError, match="split"):
        Bounded(split="a/b")


def test_a_field_may_allow_infinity(tmp_path: Path) -> None:
    assert load(write(tmp_path, "any_number: .inf"), Bounded).any_number == float("inf")


@pytest.mark.parametrize(
    "text", ["a: " + "[" * 3000 + "]" * 3000, "rate: ${share}\nshare: ${rate}", "a: 1\na: 2"]
)
def test_what_cannot_be_resolved_is_one_line(tmp_path: Path, text: str) -> None:
    with pytest.raises(UserError, match=r"recipe\.yaml: ") as caught:
        load(write(tmp_path, text), Bounded)
    assert len(caught.value.message.splitlines()) == 1


def test_an_override_reaches_into_a_list(tmp_path: Path) -> None:
    path = write(tmp_path, "data: x\nstages: [{learning_rate: 1}, {schedule: constant}]")
    words = ["stages.1.learning_rate=0.25", "stages[0].schedule=constant"]
    assert load(path, Recipe, words).stages == (
        Optimiser(1.0, schedule="constant"),
        Optimiser(0.25, schedule="constant"),
    )
    for word in ("stages.2.learning_rate=1", "stages.x=1", "stages.=1"):
        with pytest.raises(UserError, match="override"):
            load(path, Recipe, [word])


@pytest.mark.parametrize(
    ("word", "value"),
    [("limit=null", None), ("limit=3", 3), ("updates=7", 7), ("optimiser.betas=[0.1,1e-3]", 10)],
)
def test_an_override_is_read_as_yaml(tmp_path: Path, word: str, value: int | None) -> None:
    recipe = load(write(tmp_path, "data: x"), Recipe, [word])
    assert value in (recipe.limit, recipe.updates)


def test_an_override_may_refer_to_the_recipe(tmp_path: Path) -> None:
    recipe = load(write(tmp_path, "data: x\nupdates: 7"), Recipe, ["data=run/${updates}"])
    assert recipe.data == Path("run/7")
    with pytest.raises(UserError, match="nothing"):
        load(write(tmp_path, "data: x"), Recipe, ["data=${nothing}"])


def test_a_mapping_takes_the_place_of_what_is_there(tmp_path: Path) -> None:
    path = write(tmp_path, "data: x\noptimiser: {learning_rate: 0.5, schedule: constant}")
    assert load(path, Recipe, ["optimiser={learning_rate: 0.25}"]).optimiser == Optimiser(0.25)
    both = load(path, Recipe, ["optimiser={schedule: cosine}", "optimiser.learning_rate=0.5"])
    assert both.optimiser == Optimiser(0.5, schedule="cosine")
    assert load(path, Recipe, ["optimiser={}"]).optimiser == Optimiser()


def test_an_override_that_is_no_text_of_this_world(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not UTF-8"):
        load(write(tmp_path, "data: x"), Recipe, ["data=\udcff"])


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
