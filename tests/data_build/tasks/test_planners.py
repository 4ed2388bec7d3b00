"""Planners: who is answered, in which order, and that the instruction alone makes a sound count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from data_build.drops import Dropped
from data_build.labelling.label import label
from data_build.labelling.policy import CuedSound, policy
from data_build.plans import AudibleItem, Chat, LabelledPlan, Request, StreamPlan
from data_build.pools.pools import Cue, Pools
from data_build.pools.prepare import PreparedClip
from data_build.randomness import StreamSeed
from data_build.records import (
    Clip,
    Dialogue,
    DialogueTurn,
    Judgement,
    Origin,
    PlannedReply,
    Prepared,
    Recorded,
    Unspoken,
    Voice,
    Word,
)
from data_build.speech.speech_source import CUE_PHRASES
from data_build.synth.kinds import synthesised_clip
from data_build.tasks.config import (
    CountingConfig,
    CueStreamConfig,
    InstructionsConfig,
    TasksConfig,
    TranscriptionConfig,
    TranslationConfig,
)
from data_build.tasks.context import PlannerContext, PlannerResources
from data_build.tasks.table import TASKS, plan_stream
from data_build.wording.wording import SplitWording, StreamWords, wording

OWN = Origin("test", "CC0-1.0")
CONFIG = TasksConfig(
    cues=CueStreamConfig(items=(3, 5)),
    counting=CountingConfig("count the beeps", "Counting.", words=("One.", "Two.", "Three.")),
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

    def voice(self, language: str, rng: np.random.Generator) -> Voice:
        return Voice("test", f"voice {int(rng.integers(self.count))}", language)

    def speak(self, clip: Clip, voice: Voice) -> Clip:
        name = f"{clip.id}@{voice.name}"
        return replace(clip, id=name, audio=Prepared(name), speaker=voice.name, duration_s=1.0)

    def say(self, text: str, voice: Voice, origin: Origin = OWN) -> Clip:
        return self.speak(Clip(text, "speech", Unspoken(), origin, text=text), voice)

    def converse(self, dialogue: Dialogue, voice: Voice) -> Sequence[Turn]:
        return [Turn(self.say(t.user, voice), t.assistant, t.emotion) for t in dialogue.turns]


def cue(name: str, reply: str | None = None) -> Cue:
    takes = tuple(synthesised_clip("dog_bark", name, i) for i in range(3))
    return Cue(name, PlannedReply(reply) if reply else None, takes)


def speech(text: str, words: tuple[Word, ...] = ()) -> Clip:
    return Clip(text, "speech", Recorded("a"), OWN, 2.0, text=text, words=words)


def sound(label: str, number: int, category: str = "") -> Clip:
    reply = PlannedReply("Careful!", "urgent") if category else None
    audio = Recorded(f"{label}{number}")
    return Clip(
        f"{label}{number}",
        "event",
        audio,
        OWN,
        labels=(label,),
        judgement=Judgement(reply, category),
    )


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


def stream_words(*seed: object) -> StreamWords:
    return SplitWording.of(wording(), "train", {"train": 1.0}).stream(*seed)


def prepare(clip: Clip) -> PreparedClip:
    return PreparedClip(np.zeros(32_000, np.float32))


def timed(clip: Clip) -> Clip:
    return clip if clip.words else replace(clip, words=(Word(clip.text, 0.2, 0.4),), words_by="an")


def planned(
    task: str, number: int, voices: int = 4, pools: Pools = POOLS, config: TasksConfig = CONFIG
) -> StreamPlan:
    resources = PlannerResources(cast(Any, Voices(voices)), prepare, timed)
    seed = StreamSeed(1, "train", number)
    return plan_stream(
        f"s{number}", task, "",
        PlannerContext.of(pools, resources, config, 20.0, seed, stream_words(number), [].append),
    )  # fmt: skip


def plans(task: str, count: int = 200) -> list[StreamPlan]:
    return [planned(task, number) for number in range(count)]


def labelled(plan: StreamPlan, pools: Pools = POOLS) -> LabelledPlan:
    """The plan with its labels: items one after another, a second each."""
    audible = [
        AudibleItem(item, n * 32_000 + 1, n * 32_000 + 16_000) for n, item in enumerate(plan.items)
    ]
    cues = [CuedSound(c.name, None, c.reply) for c in pools.cues]
    return label(plan, audible, policy(cues), stream_words(plan.id))


def said(plan: StreamPlan) -> list[str]:
    return [r.text for replies in labelled(plan).replies for r in replies]


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
        return [(i.what, i.clip.text, i.address) for i in plan.items]

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
        assert [(i.what, i.is_cue) for i in after.items] == [
            (i.what, i.is_cue) for i in before.items
        ]


def test_cues_are_answered_by_what_they_are() -> None:
    pairs = [
        (i.what, {r.text for r in replies})
        for p in plans("answer_cues")
        for i, replies in zip(p.items, labelled(p).replies, strict=True)
    ]
    replies = dict(pairs)
    assert all(replies[what] == texts for what, texts in pairs)
    assert replies == {
        "alarm": {"Out!"}, "hello": {"Hi."}, "timer": set(), "steps": set(), "beep": set(),
    }  # fmt: skip
    answered = [bool(texts) for _, texts in pairs]
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
            assert plan.items[0].clip.origin == CUE_PHRASES  # in all splits, as the recipe says
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
        for item, replies in zip(plan.items, labelled(plan).replies, strict=True):
            assert bool(replies) == (item.clip in ALARMS)


def test_words_come_with_the_times_of_their_corpus_or_are_timed() -> None:
    for plan in plans("transcribe_words", 30):
        for item, replies in zip(plan.items, labelled(plan).replies, strict=True):
            if item.address is None:
                known = item.clip.text == "good day"
                assert [r.text for r in replies] == (["good", "day"] if known else ["turn on"])
                assert {r.basis for r in replies} == {"known" if known else "measured"}
        assert set(plan.notes["word_times"].split("+")) <= {"source", "an"}


INSTRUCTED = (
    "transcribe_words", "transcribe_utterances", "alert_on_sound", "describe_sound",
)  # fmt: skip


@pytest.mark.parametrize("task", INSTRUCTED)
def test_the_task_is_told_in_writing_or_in_speech(task: str) -> None:
    written = 0
    for plan in plans(task):
        first = plan.items[0]
        if plan.system:
            written += 1
            assert plan.instruction != Chat()
            assert not isinstance(first.address, Request)
        else:
            assert plan.instruction == Chat()
            assert isinstance(first.address, Request)
    assert 70 < written < 130
    always = replace(CONFIG, instructions=InstructionsConfig(written_share=1.0))
    assert all(planned(task, n, config=always).system for n in range(20))


@pytest.mark.parametrize("task", [*PLANNED, "hold_replies", "carry_out_instruction"])
def test_the_user_has_one_voice(task: str) -> None:
    for plan in plans(task, 60):
        users = {i.clip.speaker for i in plan.items if i.address is not None}
        if task == "hold_replies" and len(plan.items) == 5:
            assert plan.items[2].clip.speaker not in {plan.items[n].clip.speaker for n in (0, 1, 3)}
            users -= {plan.items[2].clip.speaker}
        assert len(users) <= 1, plan


def test_who_asks_for_quiet_is_not_answered() -> None:
    seen = set()
    for plan in plans("hold_replies"):
        replies = [bool(r) for r in labelled(plan).replies]
        guest = len(plan.items) == 5
        everybody = plan.notes["everybody"]
        seen.add((guest, everybody))
        assert replies == [True, False, *([not everybody] if guest else []), True, True]
    assert len(seen) == 4


def test_what_a_split_does_not_have_drops_the_plan() -> None:
    empty = Pools(cues=(cue("alarm", "Out!"),))
    for task in ("stay_silent", "count_sounds", "transcribe_words"):
        with pytest.raises(Dropped, match="there is no"):
            planned(task, 0, pools=empty)


def test_no_utterance_comes_twice_in_a_stream() -> None:
    """There are two texts: a stream of three utterances has to do with two."""
    three = replace(CONFIG, transcription=TranscriptionConfig(utterances=(3, 3)))
    for number in range(20):
        plan = planned("transcribe_words", number, config=three)
        said = [item.clip.text for item in plan.items if item.what == "speech"]
        assert sorted(said) == ["good day", "turn on"]


def test_each_side_of_a_conversation_has_one_voice_and_says_nothing_twice() -> None:
    pool = tuple(
        Clip(f"{code}{n}", "speech", Unspoken(), OWN, text=f"{code}{n}", language=code,
             translation="t", translation_language=other)
        for code, other in (("de", "en"), ("en", "de")) for n in range(3)
    )  # fmt: skip
    pools = replace(POOLS, translated=pool)
    config = replace(CONFIG, translation=TranslationConfig(utterances=(5, 5)))
    for number in range(20):
        plan = planned("interpret_conversation", number, voices=40, pools=pools, config=config)
        clips = [item.clip for item in plan.items if item.what == "speech"]
        assert sorted(clip.text for clip in clips) == ["de0", "de1", "de2", "en0", "en1", "en2"]
        turns = [clip.language for clip in clips]
        assert all(one != other for one, other in pairwise(turns))
        voices = {clip.language: {c.speaker for c in clips if c.language == clip.language}
                  for clip in clips}  # fmt: skip
        assert all(len(speakers) == 1 for speakers in voices.values())
    said_all = replace(pools, translated=(pool[0], pool[3]))
    plan = planned("interpret_conversation", 1, pools=said_all, config=config)
    assert len([item for item in plan.items if item.what == "speech"]) == 2


def test_the_user_reacts_to_a_danger_before_the_talk_goes_on() -> None:
    reactions = 0
    for plan in plans("warn_in_conversation", 40):
        front = [item for item in plan.items if item.track == "foreground"]
        danger = next(n for n, item in enumerate(front) if item.clip.labels == ("siren",))
        after = [item for item in front[danger + 1 :] if item.address is not None]
        if not after:
            continue  # the stream ends with it
        first, of_dialogue = after[0], {t.user for d in POOLS.dialogues for t in d.turns}
        assert first.clip.text not in of_dialogue
        assert all(item.clip.text in of_dialogue for item in after[1:])
        assert first.clip.speaker == next(item.clip.speaker for item in front if item.clip.text)
        assert labelled(plan).replies[plan.items.index(first)]
        reactions += 1
    assert reactions
