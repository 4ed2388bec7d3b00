"""Recipes: every one in the repository resolves, every mistake is named with its remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from data_build.recipe import BuildRecipe
from soundflow.commands.build_data import output_of
from soundflow.config.load import load
from soundflow.errors import UserError
from tests.data_build.small_recipe import write_recipe

RECIPES = Path(__file__).resolve().parents[2] / "recipes"
OURS = [RECIPES / "quickstart" / "build.yaml", *sorted((RECIPES / "build").glob("*.yaml"))]


@pytest.mark.parametrize("path", OURS, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_every_build_recipe_resolves(path: Path) -> None:
    recipe = load(path, BuildRecipe, command="build-data")
    assert recipe.splits
    assert sum(s.streams for s in recipe.splits.values()) > 0


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("splits.train.streems=3", "streams"),
        ("splits.train.tasks.answer_cue=1", "answer_cues"),
        ("splits.train.streams=many", "expected a whole number"),
        ("splits.train.streams=0", "must be greater than 0"),
        ("compose.noise.snr_db=[20,5]", "must be a range"),
        ("compose.gap_slots=[5]", "expected 2 values"),
        ("compose.peak=1.5", "peak"),
        ("tasks.counting.sound=horn", "names no cue"),
        ("speech.pool.voices=[pico]", "engine:name"),
        ("prepare.tfjp.gamma=-1", "gamma"),
        ("max_dropped_share=2", "max_dropped_share"),
        ("cues=[{name: a, say: x, sound: rain}]", "one of say, sound and label"),
        ("cues=[]", "at least one is needed"),
        ("workers=-1", "workers"),
        # finite, but nothing that could be computed or would ever end
        ("compose.noise.snr_db=[1e30,1e31]", "must be less than or equal to 200"),
        ("compose.background_db=-1e30", "must be greater than or equal to -200"),
        ("cues.0.ready_s=1e308", "must be less than or equal to 86400"),
        ("splits.train.streams=1000000000000", "must be less than or equal to 1000000000"),
        ("tasks.cues.items=[2,1000000000000]", "must be less than or equal to 10000"),
        ("stream.chunk_s=1e9", "at most 60"),
    ],
)
def test_a_mistake_is_refused_by_key_and_value(tmp_path: Path, override: str, says: str) -> None:
    path = write_recipe(tmp_path, tmp_path / "data")
    with pytest.raises(UserError) as error:
        load(path, BuildRecipe, [override])
    assert says in str(error.value)
    assert str(path) in str(error.value)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("cues.0.reply='<warn.smok>'", "cue 'help': reply: .*<warn.smok>; did you mean <warn.smo"),
        ("cues.0.say='<warn.smok>'", "cue 'help': say: there is no rule <warn.smok>"),
        ("cues.0.reply='I heard {s}.'", "cue 'help': reply: .* needs s; given is no slot"),
        ("tasks.counting.words=['<count.ona>']", "tasks.counting.words: .*did you mean <count.one"),
        ("tasks.counting.reply='{n}'", "tasks.counting.reply: .* needs n; given is {s}"),
        ("policy=own.tsv", "policy: own.tsv: 'Bark': there is no rule <warn.dogg>"),
    ],
)
def test_a_line_that_cannot_be_said_is_refused_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, override: str, says: str
) -> None:
    columns = "class\tverdict\tcategory\temotion\twords\treason\n"
    (tmp_path / "own.tsv").write_text(f"{columns}Bark\trespond\tsafety\turgent\t<warn.dogg>\tx\n")
    monkeypatch.chdir(tmp_path)
    path = write_recipe(tmp_path, tmp_path / "data")
    recipe = load(path, BuildRecipe, [override])
    with pytest.raises(UserError, match=says):
        output_of(recipe)  # `soundflow check` and the build both begin with it
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("languages", "task", "says"),
    [
        ("{de: 1.0}", "describe_sound", "'de' lacks .* describe_sound need: <describe.written>"),
        ("{en: 1.0, de: 0.5}", "react_to_event", r"'de' lacks .* react_to_event need: <warn\."),
        # In other languages only conversations are held.
        ("{en: 1.0}", "hold_replies", "'de' lacks .* hold_replies need: <quiet.spoken>"),
        ("{en: 1.0}", "describe_sound", None),
    ],
)
def test_a_language_without_the_rules_of_a_task_is_refused_before_any_work(
    tmp_path: Path, languages: str, task: str, says: str | None
) -> None:
    (tmp_path / "de.yaml").write_text("language: de\nrules:\n  ask.latest: Was war das?\n")
    recipe = load(
        write_recipe(tmp_path, tmp_path / "data"),
        BuildRecipe,
        [
            f"wording={{files: [{tmp_path / 'de.yaml'}], languages: {languages}}}",
            f"splits.train.tasks={{{task}: 1.0}}",
            "cues=[{name: bell, label: bell}]",
        ],
    )
    if says is None:
        output_of(recipe)
        return
    with pytest.raises(UserError, match=says):
        output_of(recipe)
