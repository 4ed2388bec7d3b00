"""The intervention policy: silent by default, four reasons to speak, doubt is thrown away."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_build.drops import Drop, Dropped
from data_build.labelling.policy import (
    CuedSound,
    Policy,
    policy,
)
from data_build.labelling.policy_table import TABLE
from data_build.records import Clip, ClipKind, Judgement, Origin, PlannedReply, Recorded
from data_build.scenes.ontology import SoundClass, ontology
from data_build.wording.wording import SplitWording, wording
from soundflow.errors import UserError

ORIGIN = Origin("test", "CC0-1.0")
RULES = policy()
WORDS = SplitWording.of(wording(), "train", {"train": 1.0}).stream("test")


def clip(*labels: str, kind: ClipKind = "event", id: str = "c") -> Clip:
    return Clip(id, kind, Recorded("a.flac"), ORIGIN, 2.0, labels=labels)


def verdict(sound: SoundClass) -> str:
    return RULES.verdict(sound)


def outcome(which: Clip, rules: Policy = RULES) -> Judgement | Drop:
    """The judgement by rule, or why there is none."""
    try:
        return rules.judge(which)
    except Dropped as dropped:
        return dropped.drop


@pytest.mark.parametrize(
    ("label", "category"),
    [
        ("Screaming", "distress"),
        ("thunder", "hazard"),
        ("Civil defense siren", "hazard"),
        ("smoke_alarm", "damage"),
        ("glass_breaking", "damage"),
        ("Machine gun", "safety"),
        ("Ambulance (siren)", "safety"),
        ("siren", "safety"),
    ],
)
def test_four_kinds_of_sound_deserve_a_word(label: str, category: str) -> None:
    judged = outcome(clip(label))
    assert isinstance(judged, Judgement)
    assert judged.category == category
    assert judged.reply is not None
    for language in ("en", "zh"):
        warning = replace(WORDS, language=language).said(judged.reply)
        assert warning.text.isascii() == (language == "en")
        assert len(warning.text) >= 4


@pytest.mark.parametrize(
    "label",
    ["dog_bark", "rain", "doorbell", "telephone_ring", "Alarm clock", "Microwave oven", "laughing",
     "footsteps", "Fireworks", "church_bells", "vacuum_cleaner", "Music", "Cough",
     "keyboard_typing"],
)  # fmt: skip
def test_everyday_sounds_deserve_none(label: str) -> None:
    judged = outcome(clip(label))
    assert isinstance(judged, Judgement)
    assert (judged.reply, judged.category) == (None, "")


@pytest.mark.parametrize(
    "labels",
    [
        ("Alarm",),
        ("crying_baby",),
        ("fireplace",),
        ("car_horn",),
        ("car_alarm",),
        ("reversing_beep",),
        ("Bang",),
        ("rain", "Groan"),
        ("Gunshot, gunfire", "Television"),
        ("Screaming", "Children playing"),
        ("Explosion", "Fireworks"),
        ("Siren", "Music"),
        ("Screaming", "smoke_alarm"),  # which of the two to answer?
    ],
)
def test_borderline_clips_are_discarded_with_a_reason(labels: tuple[str, ...]) -> None:
    judged = outcome(clip(*labels))
    assert isinstance(judged, Drop)
    assert judged.step == "silence_policy"
    assert judged.item == "c"
    assert "borderline" in judged.reason


@given(st.sampled_from(sorted(ontology().classes)))
def test_the_default_is_silent(name: str) -> None:
    """Whatever is not in the table says nothing; every class has a verdict by itself."""
    judged = outcome(clip(name))
    if ontology().is_a(name, "Speech"):
        assert isinstance(judged, Drop)
        return
    expected = {"respond": 1, "silent": 0}.get(verdict(ontology().classes[name]))
    if expected is None or (expected and isinstance(judged, Drop)):
        assert isinstance(judged, Drop)
    else:
        assert isinstance(judged, Judgement)
        assert (judged.reply is not None) == bool(expected)


def test_few_classes_make_the_assistant_speak() -> None:
    speaking = [n for n, s in ontology().classes.items() if verdict(s) == "respond"]
    assert len(speaking) / len(ontology().classes) < 0.07


def test_the_nearest_row_upwards_decides() -> None:
    classes = ontology().classes
    assert verdict(classes["Alarm"]) == "borderline"
    assert verdict(classes["Siren"]) == "respond"
    assert verdict(classes["Ringtone"]) == "silent"
    assert verdict(classes["Cap gun"]) == "silent"


@pytest.mark.parametrize(
    ("which", "reason"),
    [
        (clip(), "no label"),
        (clip("flibbertigibbet"), "no label"),
        (clip("Speech"), "speech"),
        (clip("Siren", kind="speech"), "speech"),
    ],
)
def test_what_cannot_be_judged_is_dropped(which: Clip, reason: str) -> None:
    judged = outcome(which)
    assert isinstance(judged, Drop)
    assert reason in judged.reason


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("busy_tone", "Busy signal"), ("slurp", "Chewing, mastication"),
        ("kettle_boiling", "Boiling"), ("bee_buzz", "Bee, wasp, etc."),
        ("wolf_howl", "Howl"), ("bicycle_horn", "Toot"),
    ],
)  # fmt: skip
def test_labels_of_sound_packs_name_their_class(label: str, name: str) -> None:
    sound = ontology().find(label)
    assert sound is not None
    assert sound.name == name
    assert isinstance(outcome(clip(label)), Judgement)


def test_a_caption_names_the_sound_where_no_label_does() -> None:
    judged = outcome(Clip("c", "event", Recorded("a"), ORIGIN, caption="A smoke alarm goes off."))
    assert isinstance(judged, Judgement)
    assert judged.category == "damage"
    unknown = outcome(Clip("c", "event", Recorded("a"), ORIGIN, caption="Something odd."))
    assert isinstance(unknown, Drop)


def test_every_row_has_a_reason() -> None:
    rows = [line.split("\t") for line in TABLE.read_text().splitlines() if line[0] != "#"]
    assert all(len(row) == 6 and row[-1].strip("- ") for row in rows)


def own(folder: Path, *rows: str) -> str:
    path = folder / "own.tsv"
    head = "class\tverdict\tcategory\temotion\twords\treason"
    path.write_text("\n".join(["# mine", head, *(row.replace("|", "\t") for row in rows)]))
    return str(path)


def test_a_file_of_ones_own_adds_and_overrides(tmp_path: Path) -> None:
    file = own(
        tmp_path,
        "Car alarm|respond|safety|urgent|Your car alarm is on.|mine is never false",
        "Siren|silent|-|-|-|a street with a hospital",
        "Rauchmelder|respond|damage|urgent|Smoke alarm!|a label of mine",
    )
    rules = policy((), file)
    said = {
        label: outcome(clip(label), rules=rules)
        for label in ("car_alarm", "siren", "Rauchmelder", "smoke_alarm")
    }
    replies = {k: j.reply.text if j.reply else "" for k, j in said.items()}  # type: ignore[union-attr]
    assert replies == {
        "car_alarm": "Your car alarm is on.", "siren": "", "Rauchmelder": "Smoke alarm!",
        "smoke_alarm": "<warn.smoke_alarm>",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ("Siren|loud|-|-|-|-|", "verdict 'loud'"),
        ("Siren|respond|noise|urgent|Hey!|-|", "category 'noise'"),
        ("Siren|respond|safety|cross|Hey!|-|", "emotion"),
        ("Siren|respond|safety|urgent|-|-|", "words"),
        ("Siren|silent", "lacks one"),
    ],
)
def test_a_wrong_row_is_named(row: str, fault: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=fault):
        policy((), own(tmp_path, row))
    with pytest.raises(UserError, match="cannot be read"):
        policy((), str(tmp_path / "none.tsv"))


def test_a_cue_is_the_policy_for_its_class() -> None:
    out = PlannedReply("Out!", "urgent")
    rules = policy(
        [
            CuedSound("alarm", "Smoke detector, smoke alarm", out),
            CuedSound("sneeze", "sneezing", PlannedReply("Bless you.")),
            CuedSound("one", "Beep, bleep", None),
            CuedSound("two", "Beep, bleep", PlannedReply("A beep.")),
            CuedSound("phrase", None, None),
        ]
    )
    alarm, sneeze = (rules.judge(clip(label)) for label in ("smoke_alarm", "Sneeze"))
    assert (alarm.reply, alarm.category) == (out, "damage")
    assert sneeze.reply is not None
    assert sneeze.category == ""  # no danger
    undecided = outcome(clip("kitchen_timer"), rules=rules)
    assert isinstance(undecided, Drop)  # which of the two?
    assert rules.cues["two"] == PlannedReply("A beep.")


def test_real_labels_are_all_known(shared: Path) -> None:
    rows = map(json.loads, (shared / "data" / "manifest.jsonl").read_text().splitlines())
    labels = {r["label"] for r in rows if r["kind"] != "speech"}
    judged = {label: outcome(clip(label)) for label in labels}
    unknown = [k for k, j in judged.items() if isinstance(j, Drop) and "no label" in j.reason]
    assert unknown == []
    spoken = sum(isinstance(j, Judgement) and j.reply is not None for j in judged.values())
    dropped = sum(isinstance(j, Drop) for j in judged.values())
    print(f"{len(labels)} labels: {spoken} answered, {dropped} discarded")
    assert 0 < spoken < len(labels) / 4
