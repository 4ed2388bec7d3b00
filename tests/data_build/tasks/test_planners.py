"""Planners: who is answered, in which order, and that the instruction alone makes a sound count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from data_build.drops import Dropped
from data_build.pools.pools import Cue, Pools
from data_build.pools.prepare import PreparedClip
from data_build.randomness import StreamSeed
from data_build.records import (
    Clip,
    Dialogue,
    DialogueTurn,
    Intervention,
    Origin,
    PlannedReply,
    Prepared,
    Recorded,
    StreamPlan,
    Unspoken,
    Word,
)
from data_build.synth.kinds import synthesised_clip
from data_build.tasks.config import (
    CountingConfig,
    CueStreamConfig,
    TasksConfig,
    TranscriptionConfig,
)
from data_build.tasks.context import PlannerContext, PlannerResources
from data_build.tasks.table import TASKS, plan_stream
from data_build.tasks.transcription import evenly_spread

OWN = Origin("test", "CC0-1.0")
CONFIG = TasksConfig(
    cues=CueStreamConfig(items=(3, 5)),
    counting=CountingConfig(words=("One.", "Two.", "Three.")),
    transcription=TranscriptionConfig(utterances=(2, 2)),
)


@dataclass(frozen=True)
class Turn:
    clip: Clip
    assistant: str
    emotion: str


@dataclass(frozen=True)
class Voices:
    """Speaks without a sound: the voice is a number that is drawn."""

    count: int = 4

    def speak(self, clip: Clip, rng: np.random.Generator) -> Clip:
        voice = f"voice {int(rng.integers(self.count))}"
        name = f"{clip.id}@{voice}"
        return replace(clip, id=name, audio=Prepared(name), speaker=voice, duration_s=1.0)

    def say(self, text: str, rng: np.random.Generator) -> Clip:
        return self.speak(Clip(text, "speech", Unspoken(), OWN, text=text), rng)

    def converse(self, dialogue: Dialogue, rng: np.random.Generator) -> Sequence[Turn]:
        return [Turn(self.say(t.user, rng), t.assistant, t.emotion) for t in dialogue.turns]


def cue(name: str, reply: str | None = None) -> Cue:
    takes = tuple(synthesised_clip("dog_bark", name, i) for i in range(3))
    return Cue(name, PlannedReply(reply) if reply else None, takes)


def speech(text: str, words: tuple[Word, ...] = ()) -> Clip:
    return Clip(text, "speech", Recorded("a"), OWN, 2.0, text=text, words=words)


def sound(label: str, number: int, category: str = "") -> Clip:
    warning = Intervention(category, "Careful!", "urgent", {}) if category else None
    audio = Recorded(f"{label}{number}")
    return Clip(f"{label}{number}", "event", audio, OWN, labels=(label,), intervention=warning)


ALARMS = tuple(sound("siren", i, "safety") for i in range(3))
BENIGN = tuple(sound(label, i) for label in ("rain", "footsteps", "laughter") for i in range(3))
POOLS = Pools(
    cues=(
        cue("alarm", "Out!"), cue("timer"), cue("steps"), cue("beep"),
        Cue("hello", PlannedReply("Hi."), (Clip("hello", "speech", Unspoken(), OWN, text="hi"),)),
    ),
    speech=(speech("turn on"), speech("good day", (Word("good", 0, 0.5), Word("day", 0.6, 1.9)))),
    sounds=(*ALARMS, *BENIGN), alarms=ALARMS, benign=BENIGN,
    dialogues=tuple(
        Dialogue(f"d{n}", tuple(DialogueTurn(f"u{n}{i}", f"a{n}{i}") for i in range(4)), OWN)
        for n in range(3)
    ),
)  # fmt: skip


def prepare(clip: Clip) -> PreparedClip:
    return PreparedClip(np.zeros(32_000, np.float32))


def planned(
    task: str, number: int, voices: int = 4, pools: Pools = POOLS, config: TasksConfig = CONFIG
) -> StreamPlan:
    resources = PlannerResources(cast(Any, Voices(voices)), prepare)
    seed = StreamSeed(1, "train", number)
    return plan_stream(
        f"s{number}", task, "", PlannerContext.of(pools, resources, config, 20.0, seed, [].append)
    )


def plans(task: str, count: int = 200) -> list[StreamPlan]:
    return [planned(task, number) for number in range(count)]


def said(plan: StreamPlan) -> list[str]:
    return [r.text for item in plan.items for r in item.replies]


PLANNED = (
    "answer_cues", "stay_silent", "count_sounds", "transcribe_words", "count_events",
    "react_to_event", "react_to_events", "chat_multi_turn", "alert_on_sound", "choose_sound",
)  # fmt: skip


def test_the_page_shows_the_table() -> None:
    page = (Path(__file__).resolve().parents[3] / "docs" / "abilities.md").read_text()
    rows = [
        f"| `{t.ability}` | `{t.name}` | {t.replies} | {', '.join(t.needs)} |"
        for t in TASKS.values()
    ]
    assert [row for row in rows if row not in page] == []
    assert page.count("\n| `") == len(rows) + 3  # and the three offline forms


@pytest.mark.parametrize("task", PLANNED)
def test_a_plan_is_a_pure_function_of_its_seed(task: str) -> None:
    assert plans(task, 5) == plans(task, 5)
    assert all(p.task == task and p.items for p in plans(task, 20))


@pytest.mark.parametrize("task", PLANNED)
def test_other_voices_leave_the_plan_as_it_is(task: str) -> None:
    def told(plan: StreamPlan) -> list[tuple[str, str, object]]:
        return [(i.what, i.clip.text, i.replies) for i in plan.items]

    before = [planned(task, n) for n in range(20)]
    after = [planned(task, n, voices=97) for n in range(20)]
    assert [told(p) for p in after] == [told(p) for p in before]
    assert all(a.notes == b.notes for a, b in zip(after, before, strict=True))
    if task in ("chat_multi_turn", "count_events"):
        assert after != before  # in other voices


def test_more_takes_of_a_cue_leave_the_plan_as_it_is() -> None:
    more = tuple(synthesised_clip("dog_bark", "more", i) for i in range(9))
    pools = replace(
        POOLS, cues=tuple(c if c.name == "hello" else replace(c, clips=more) for c in POOLS.cues)
    )
    for number in range(20):
        before, after = planned("answer_cues", number), planned("answer_cues", number, pools=pools)
        assert [(i.what, i.replies) for i in after.items] == [
            (i.what, i.replies) for i in before.items
        ]


def test_cues_are_answered_by_what_they_are() -> None:
    replies = {i.what: {r.text for r in i.replies} for p in plans("answer_cues") for i in p.items}
    assert replies == {
        "alarm": {"Out!"}, "hello": {"Hi."}, "timer": set(), "steps": set(), "beep": set(),
    }  # fmt: skip
    answered = [bool(i.replies) for p in plans("answer_cues") for i in p.items]
    assert 0.4 < sum(answered) / len(answered) < 0.6


def test_a_phrase_is_spoken_and_keeps_its_reply() -> None:
    items = [i for p in plans("answer_cues") for i in p.items if i.what == "hello"]
    assert {i.clip.speaker for i in items} == {f"voice {n}" for n in range(4)}
    assert all(isinstance(i.clip.audio, Prepared) for i in items)


def test_nothing_is_said_in_a_quiet_stream() -> None:
    assert all(said(p) == [] for p in plans("stay_silent"))
    without = replace(POOLS, cues=POOLS.cues[:1])
    for number in range(20):
        plan = planned("stay_silent", number, pools=without)
        assert said(plan) == []
        assert all(i.clip in BENIGN for i in plan.items)


def test_a_sound_counts_only_after_the_instruction() -> None:
    for plan in plans("count_sounds"):
        beeps = sum(i.what == "beep" for i in plan.items)
        if plan.notes["instructed"]:
            assert plan.items[0].clip.text == CONFIG.counting.instruction
            assert said(plan) == ["Counting.", "One.", "Two.", "Three."][: beeps + 1]
        else:
            assert beeps
            assert said(plan) == []
    uninstructed = sum(not p.notes["instructed"] for p in plans("count_sounds"))
    assert 40 < uninstructed < 100


def test_only_what_calls_for_help_is_answered() -> None:
    for plan in plans("react_to_event", 50):
        assert said(plan) == ["Careful!"]
    for plan in plans("react_to_events", 50):
        assert 2 <= len(said(plan)) <= 3
        assert all(bool(i.replies) == (i.clip in ALARMS) for i in plan.items)


def test_words_come_with_their_times_or_say_that_they_are_spread() -> None:
    for plan in plans("transcribe_words", 30):
        guessed = any(not i.clip.words for i in plan.items)
        assert ("even" in plan.notes["word_times"]) == guessed
        for item in plan.items:
            assert [r.text for r in item.replies] == item.clip.text.split()
    assert [w.end_s for w in evenly_spread(speech("ab abcdef"), 2.0)] == [0.5, 2.0]


def test_what_a_split_does_not_have_drops_the_plan() -> None:
    empty = Pools(cues=(cue("alarm", "Out!"),))
    for task in ("stay_silent", "count_sounds", "transcribe_words"):
        with pytest.raises(Dropped, match="there is no"):
            planned(task, 0, pools=empty)
