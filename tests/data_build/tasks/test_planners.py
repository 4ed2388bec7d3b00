"""Planners: who is answered, in which order, and that the instruction alone makes a sound count."""

from __future__ import annotations

from pathlib import Path

import pytest

from data_build.pools.pools import Cue, Library
from data_build.randomness import generator
from data_build.records import Clip, Origin, Recorded, StreamPlan, Word
from data_build.synth.clips import synthesised_clip
from data_build.tasks.config import (
    AbilitiesConfig,
    CountingConfig,
    CueConfig,
    SceneConfig,
    TranscriptionConfig,
)
from data_build.tasks.planner import PLANNERS, plan_stream
from data_build.tasks.taxonomy import ABILITIES, TASKS, ability_of
from data_build.tasks.transcription import evenly_spread
from soundflow.errors import UserError

CONFIG = AbilitiesConfig(
    scene=SceneConfig(items=(3, 5)),
    counting=CountingConfig(words=("One.", "Two.", "Three.")),
    transcription=TranscriptionConfig(utterances=(2, 2)),
)


def cue(name: str, reply: str | None = None) -> Cue:
    takes = tuple(synthesised_clip("dog_bark", name, i) for i in range(3))
    return Cue(CueConfig(name, sound="dog_bark", reply=reply), takes)


def speech(text: str, words: tuple[Word, ...] = ()) -> Clip:
    origin = Origin("test", "CC0-1.0")
    return Clip(text, "speech", Recorded("a"), origin, 2.0, text=text, words=words)


LIBRARY = Library(
    key="",
    cues=(cue("alarm", "Out!"), cue("timer"), cue("steps"), cue("beep")),
    instruction=cue("instruction", "Counting."),
    speech=(speech("turn on"), speech("good day", (Word("good", 0, 0.5), Word("day", 0.6, 1.9)))),
    event_noise=(),
    ambient_noise=(),
)


def plans(task: str, count: int = 200) -> list[StreamPlan]:
    return [
        plan_stream(f"s{i}", task, "", LIBRARY, CONFIG, generator(task, i)) for i in range(count)
    ]


def said(plan: StreamPlan) -> list[str]:
    return [r.text for item in plan.items for r in item.replies]


def test_every_task_has_a_planner_and_an_ability() -> None:
    assert set(PLANNERS) == set(TASKS)
    assert {ability_of(task) for task in TASKS} == set(ABILITIES)
    assert (len(ABILITIES), len(TASKS)) == (7, 28)
    assert {len(tasks) for tasks in ABILITIES.values()} == {4}


def test_the_page_shows_the_table() -> None:
    page = (Path(__file__).resolve().parents[3] / "docs" / "abilities.md").read_text()
    for ability, tasks in ABILITIES.items():
        for task in tasks:
            assert f"| `{ability}` | `{task.name}` | {task.replies} |" in page


@pytest.mark.parametrize("task", ["answer_cues", "stay_silent", "count_sounds", "transcribe_words"])
def test_a_plan_is_a_pure_function_of_its_generator(task: str) -> None:
    assert plans(task, 5) == plans(task, 5)
    assert all(p.task == task and p.items for p in plans(task, 20))


def test_cues_are_answered_by_what_they_are() -> None:
    replies = {i.what: {r.text for r in i.replies} for p in plans("answer_cues") for i in p.items}
    assert replies == {"alarm": {"Out!"}, "timer": set(), "steps": set(), "beep": set()}
    answered = [bool(i.replies) for p in plans("answer_cues") for i in p.items]
    assert 0.4 < sum(answered) / len(answered) < 0.6


def test_nothing_is_said_in_a_quiet_stream() -> None:
    assert all(said(p) == [] for p in plans("stay_silent"))


def test_a_sound_counts_only_after_the_instruction() -> None:
    for plan in plans("count_sounds"):
        beeps = sum(i.what == "beep" for i in plan.items)
        if plan.notes["instructed"]:
            assert plan.items[0].what == "instruction"
            assert said(plan) == ["Counting.", "One.", "Two.", "Three."][: beeps + 1]
        else:
            assert beeps
            assert said(plan) == []
    uninstructed = sum(not p.notes["instructed"] for p in plans("count_sounds"))
    assert 40 < uninstructed < 100


def test_words_come_with_their_times_or_say_that_they_are_spread() -> None:
    for plan in plans("transcribe_words", 30):
        guessed = any(not i.clip.words for i in plan.items)
        assert ("even" in plan.notes["word_times"]) == guessed
        for item in plan.items:
            assert [r.text for r in item.replies] == item.clip.text.split()
    assert [w.end_s for w in evenly_spread(speech("ab abcdef"))] == [0.5, 2.0]


def test_an_empty_pool_is_said_with_a_remedy() -> None:
    empty = Library("", (cue("alarm", "Out!"),), None, (), (), ())
    for task in ("stay_silent", "count_sounds", "transcribe_words"):
        with pytest.raises(UserError):
            plan_stream("s", task, "", empty, CONFIG, generator(0))
