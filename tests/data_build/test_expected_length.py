"""Estimates of the length of streams: every task has one, and material and limits count."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from data_build.collect.collect import collect
from data_build.compose.timeline import lay_out
from data_build.context import MATERIAL, BuildContext, build_context
from data_build.expected_length import expected_stream_s, expected_streams, lengths_of
from data_build.randomness import StreamSeed
from data_build.recipe import BuildRecipe
from data_build.records import Clip, Dialogue, DialogueTurn, Origin, Recorded, Unspoken
from data_build.shard_job import quota_key
from data_build.tasks.context import PlannerContext
from data_build.tasks.table import FORMS, TASKS, plan_stream
from soundflow.config.load import build, load

ORIGIN = Origin("own", "CC0-1.0")
ROOT = Path(__file__).resolve().parents[2]


def recipe(task: str, **settings: object) -> BuildRecipe:
    tree = {
        "output": "data",
        "cues": [{"name": "beep", "sound": "beep"}],
        "splits": {"train": {"streams": 1, "tasks": {task: 1.0}}},
    }
    return build(BuildRecipe, {**tree, **settings}, "recipe.yaml")


@pytest.mark.parametrize("task", TASKS)
def test_every_task_has_an_estimate_within_the_longest_stream(task: str) -> None:
    at_most_s = 24.0 + 2.4  # a stream of 60 chunks, and its tail
    assert 2.0 < expected_stream_s(recipe(task), "train") < at_most_s


def test_longer_items_and_gaps_make_longer_streams_up_to_the_limit() -> None:
    of = recipe("transcribe_words", compose={"max_chunks": 150})
    short_s, long_s = (expected_stream_s(of, "train", {"speech": s}) for s in (1.0, 4.0))
    assert long_s == pytest.approx(short_s + 5.5 * 3.0, abs=1.5)
    wide = recipe("transcribe_words", compose={"max_chunks": 150, "gap_slots": [60, 100]})
    assert expected_stream_s(wide, "train", {"speech": 1.0}) > short_s + 5.0
    assert expected_stream_s(of, "train", {"speech": 90.0}) < 60.0


def test_hours_are_counted_in_streams_of_that_length() -> None:
    of = recipe("answer_cues")
    split = {"streams": None, "hours": 2.0, "tasks": {"answer_cues": 1.0}}
    timed = recipe("answer_cues", splits={"train": split})
    streams = expected_streams(timed, "train")
    assert streams * expected_stream_s(of, "train") == pytest.approx(7200, rel=0.01)
    assert expected_streams(of, "train") == 1


def test_offline_samples_last_as_long_as_their_audio() -> None:
    split = {"streams": 1, "tasks": {"answer_cues": 0.0}, "offline": {"a_t": 1.0}}
    of = recipe("answer_cues", splits={"train": split})
    assert expected_stream_s(of, "train", {"speech": 3.0}) == 3.0
    assert set(FORMS) == {"a_t_t", "a_t", "t_t"}


def test_items_last_what_is_stated_or_what_their_text_takes() -> None:
    def length_s(clip: Clip, table: str = "speech", *, is_cue: bool = False) -> float:
        ((_, found),) = lengths_of(table, clip, is_cue)
        return found

    recorded = Clip("a", "speech", Recorded("a.wav"), ORIGIN, 7.5, "hello")
    assert length_s(recorded) == 7.5
    assert list(lengths_of("sounds", Clip("b", "event", Recorded("b.wav"), ORIGIN))) == []
    text = Clip("c", "speech", Unspoken(), ORIGIN, text="turn on the light in the kitchen")
    assert length_s(text) == pytest.approx(2.0, abs=0.3)
    chinese = Clip("d", "speech", Unspoken(), ORIGIN, text="请把厨房的灯打开")
    assert length_s(chinese) == pytest.approx(2.0, abs=0.3)
    assert list(lengths_of("alarms", recorded)) == []
    assert [kind for kind, _ in lengths_of("beep", recorded, is_cue=True)] == ["cue"]


def test_every_turn_counts_and_those_without_others_are_questions_too() -> None:
    turns = (DialogueTurn("hello", "x"), DialogueTurn("how are you today my friend", "y"))
    several = list(lengths_of("dialogues", Dialogue("e", turns, ORIGIN)))
    assert [kind for kind, _ in several] == ["turn", "turn"]
    assert sum(length_s for _, length_s in several) == pytest.approx(2.0, abs=0.6)
    single = lengths_of("dialogues", Dialogue("f", turns[:1], ORIGIN))
    assert [kind for kind, _ in single] == ["turn", "question"]


def test_conversations_last_as_long_as_expected(tmp_path: Path) -> None:
    """Streams of every kind of conversation, planned and laid out as a build does it."""
    pytest.importorskip("py_nanotts")
    tasks = "chat_multi_turn: 1, answer_facts: 1, chat_with_emotion: 1, chat_over_background: 1"
    made = load(
        ROOT / "recipes/build/voice_chat.yaml", BuildRecipe,
        [f"output={tmp_path}", "speech.asr_models={}", "speech.pool.voices=['pico:en-US']",
         f"splits={{train: {{streams: 1, voices: 1, takes: 4, tasks: {{{tasks}}}}}}}"],
        command="build-data",
    )  # fmt: skip
    made = replace(made, texts=tuple(str(ROOT / text) for text in made.texts))
    found = collect(made, tmp_path / MATERIAL)
    context = build_context(made)
    lasting_s = [_lasting_s(context, number) for number in range(100)]
    assert expected_stream_s(made, "train", found.lengths_s) == pytest.approx(
        sum(lasting_s) / len(lasting_s), rel=0.05
    )


def _lasting_s(context: BuildContext, number: int) -> float:
    made, split, seed = context.recipe, context.splits["train"], StreamSeed(1, "train", number, 0)
    planning = PlannerContext.of(
        split.pools, split.resources, made.tasks, made.longest_speech_s, seed,
        split.wording.stream("train", number), lambda drop: None,
    )  # fmt: skip
    plan = plan_stream("s", quota_key(made.splits["train"].tasks, number), "", planning)
    time = context.vocabulary.spec.time
    return time.seconds(lay_out(plan, context.preparer.prepare, made.compose, time, seed).n_samples)
