"""Estimates of the length of streams: every task has one, and material and limits count."""

from __future__ import annotations

import pytest

from data_build.expected_length import (
    expected_stream_s,
    expected_streams,
    item_seconds,
    kind_of,
)
from data_build.recipe import BuildRecipe
from data_build.records import Clip, Dialogue, DialogueTurn, Origin, Recorded, Unspoken
from data_build.tasks.table import FORMS, TASKS
from soundflow.config.load import build

ORIGIN = Origin("own", "CC0-1.0")


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
    recorded = Clip("a", "speech", Recorded("a.wav"), ORIGIN, 7.5, "hello")
    assert item_seconds(recorded) == 7.5
    assert item_seconds(Clip("b", "event", Recorded("b.wav"), ORIGIN)) is None
    text = Clip("c", "speech", Unspoken(), ORIGIN, text="turn on the light in the kitchen")
    assert item_seconds(text) == pytest.approx(2.0, abs=0.3)
    chinese = Clip("d", "speech", Unspoken(), ORIGIN, text="请把厨房的灯打开")
    assert item_seconds(chinese) == pytest.approx(2.0, abs=0.3)
    turns = (DialogueTurn("hello", "x"), DialogueTurn("how are you today my friend", "y"))
    assert item_seconds(Dialogue("e", turns, ORIGIN)) == pytest.approx(1.0, abs=0.3)
    assert kind_of("alarms", is_cue=False) is None
    assert kind_of("beep", is_cue=True) == "cue"
