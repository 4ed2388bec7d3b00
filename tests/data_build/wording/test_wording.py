"""Texts belong to one split, are well-formed, and come in other languages and from own files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from data_build.labelling.facts import OF_ASSISTANT, OF_USER
from data_build.labelling.policy import policy
from data_build.records import PlannedReply
from data_build.scenes.ontology import ontology
from data_build.wording.files import BUILT_IN, read_language
from data_build.wording.wording import (
    SplitWording,
    StreamWords,
    WordingConfig,
    home,
    wording,
)
from soundflow.errors import UserError

SPLITS = {"train": 8.0, "valid": 1.0, "test": 1.0}


def words(split: str = "train", seed: object = 0, language: str = "en") -> StreamWords:
    of_split = SplitWording.of(wording(), split, SPLITS)
    return replace(of_split.stream(seed), language=language)


def drawn(line: str, split: str, count: int, **slots: str) -> set[str]:
    return {words(split, n).text(line, **slots) for n in range(count)}


def test_no_text_is_in_two_splits() -> None:
    for line in ("<transcribe_word.written>", "<quiet.spoken>", "<ask.latest>"):
        by_split = [drawn(line, split, 150) for split in SPLITS]
        assert all(len(texts) > 20 for texts in by_split)
        assert len(set().union(*by_split)) == sum(map(len, by_split))


def test_a_word_or_two_may_be_said_in_every_split() -> None:
    assert all("Counting." in drawn("Counting.", split, 1) for split in SPLITS)
    assert all("All right." in drawn("<quiet.reply>", split, 400) for split in SPLITS)


def test_a_file_that_grows_moves_no_text(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("language: en\nrules:\n  quiet.spoken: |\n    Hush, (now|my dear), be still.\n")
    shares = SplitWording.of(wording(), "train", SPLITS).shares
    for text in drawn("<quiet.spoken>", "test", 100):
        assert home(" ".join(text.lower().split()), shares) in SPLITS
    more = SplitWording.of(wording((str(own),)), "test", SPLITS)
    both = {more.stream(n).text("<quiet.spoken>") for n in range(150)}
    assert both.isdisjoint(drawn("<quiet.spoken>", "train", 300))


def test_a_split_of_no_weight_has_texts_of_its_own() -> None:
    shares = SplitWording.of(wording(), "a", {"a": 1.0, "b": 0.0}).shares
    assert shares["b"] == pytest.approx(1 / 11)


def test_a_stream_says_the_same_whenever_it_is_built() -> None:
    assert words(seed=3).text("<ask.latest>") == words(seed=3).text("<ask.latest>")
    assert len({words(seed=n).text("<ask.latest>") for n in range(40)}) > 20


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_rule_of_every_language_can_be_said(language: str) -> None:
    """Every line of every rule, with every slot that a caller may give."""
    said = words(language=language)
    slots = {
        "s": said.sound("Walk, footsteps", ""), "n": said.number(2), "k": said.number(3),
        "language": "x", "other": "y", "names": "a or b", "name": "z", "caption": "It rains.",
        "where": "far", "pattern": "twice", "length": "long", "trend": "fading",
        "setting": "kitchen", "first": "a", "last": "b", "v": "x", "w": "y", "base": "z", "p": "a",
        "c": "b",
    }  # fmt: skip
    rules = wording().languages[language].rules
    for name in rules:
        for n in range(20):
            text = replace(said, key=str(n)).text(f"<{name}>", **slots)
            assert text.strip(" ,，"), name
            assert not set("{}<>[]|()").intersection(text), text
            assert "  " not in text
            assert language == "en" or not text[:1].islower() or text[0] in "xyzab", text


def test_every_language_has_the_rules_that_builds_use() -> None:
    english, mandarin = (set(wording().languages[code].rules) for code in ("en", "zh"))
    public = {
        name for name in english
        if "." in name and not name.endswith((".do", ".order")) and not name.startswith("recall.")
    }  # fmt: skip
    assert public - mandarin == set()
    for code, rules in (("en", english), ("zh", mandarin)):
        facts = {rule.name for rule in (*OF_USER[code], *OF_ASSISTANT.get(code, ()))}
        assert {f"recall.{name}.{part}" for name in facts for part in ("ask", "answer")} <= rules
    assert "recall.topic.answer" in english
    assert {"describe.sound", "answer.place", "unnamed_sound", "alternatives"} <= mandarin


def test_every_class_and_every_place_has_a_name() -> None:
    known = ontology()
    for code in ("en", "zh"):
        language = wording().languages[code]
        assert [name for name in known.classes if language.sound(name) is None] == []
        places = [f"place.{setting.name.replace(' ', '_')}" for setting in known.settings]
        assert [place for place in places if place not in language.rules] == []
    for row in policy().rows.values():
        if row.reply is not None:
            assert words().said(row.reply).text != words(language="zh").said(row.reply).text


def test_a_plain_text_of_the_recipe_stays_as_it_is() -> None:
    reply = PlannedReply("light  on", "happy", answers=("on",))
    assert words().said(reply) == replace(reply, plainest="light  on")


def test_nouns_have_forms_and_numbers_are_counted() -> None:
    said = words()
    assert said.sound("Walk, footsteps", "").many
    assert said.sound("Siren", "").forms["the"] == "the siren"
    assert said.sound("flibbertigibbet", "flibbertigibbet").text == "a flibbertigibbet sound"
    assert (said.number(2).text, said.number(2).forms["times"]) == ("two", "twice")
    assert said.number(31).forms["times"] == "31 times"
    assert said.language_name("de-DE") == "German"
    assert said.listed(["a", "b", "c"]) == "a, b or c"


def test_a_file_of_ones_own_adds_and_replaces(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text(
        "language: de\nrules:\n  ask.latest: |\n    Was war das[ eben]?\n"
        "sounds: {Bark: ein Bellen}\n"
        "instead:\n  ask.where: |\n    Wo bin ich?\n"
    )
    found = WordingConfig((str(own),), {"de": 1.0}).read()
    german = SplitWording.of(found, "train", {"train": 1.0}).stream(1)
    assert german.text("<ask.latest>") in ("Was war das?", "Was war das eben?")
    assert german.text("<ask.where>") == "Wo bin ich?"
    assert german.sound("Bark", "").text == "ein Bellen"
    assert found.key != wording().key
    with pytest.raises(UserError, match=r"'de'.*ask.count"):
        german.text("<ask.count>")
    with pytest.raises(UserError, match=r"'de'.*alternatives"):
        german.listed(["a", "b"])


def test_a_file_may_name_its_language_with_a_region(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("language: en-GB\nsounds: {Bark: a woof}\n")
    said = SplitWording.of(wording((str(own),)), "train", SPLITS).stream(1)
    assert said.sound("Bark", "").text == "a woof"


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("language: en\nrules: {a: '(b'}", r"'\(b'.*not closed"),
        ("language: en\nrules: {a: '<nothing>'}", "no rule <nothing>"),
        ("language: en\nrules: {a: <b>, b: <a>}", "a -> b -> a"),
        ("language: en\nrules: {a: '<b_{n}>', b_x: <a>}", "a -> b_x -> a"),
        ("language: en\nrules: {alone: '<alon_{n}> <alonee>'}", "no rule <alon_{n}>"),
        ("language: en\nrules: {alone: <alonee>}", "did you mean <alone>"),
        ("language: en\nruls: {}", "ruls"),
        ("language: en\nrules:\n  a: b\n  a: c", "own.yaml: .*duplicate key a"),
        ("language: [", "own.yaml: .*node content.* line"),
        ("- a", "expected a mapping"),
    ],
)
def test_a_wrong_file_is_named(tmp_path: Path, content: str, fault: str) -> None:
    own = tmp_path / "own.yaml"
    own.write_text(content)
    with pytest.raises(UserError, match=fault):
        read_language(str(own), {})
    with pytest.raises(UserError, match="no such file"):
        read_language(str(tmp_path / "none.yaml"), {})


def test_a_language_without_wording_is_refused() -> None:
    with pytest.raises(UserError, match="no wording in 'fr'"):
        WordingConfig((), {"fr": 1.0}).read()
    assert len(BUILT_IN) == len(wording().languages)
    with pytest.raises(ValueError, match="one share must be positive"):
        WordingConfig((), {"en": 0.0})


@pytest.mark.parametrize(
    ("code", "name", "bare", "the"),
    [
        ("en", "a dog's bark", "dog's bark", "the dog's bark"),
        ("en", "an owl", "owl", "the owl"),
        ("en", "rain", "rain", "the rain"),
        ("en", "somebody typing", "somebody typing", "somebody typing"),
        ("en", "the sea", "the sea", "the sea"),
        ("zh", "一声狗叫", "狗叫", "一声狗叫"),
        ("zh", "雨声", "雨声", "雨声"),
    ],
)
def test_a_noun_has_its_forms(code: str, name: str, bare: str, the: str) -> None:
    forms = wording().languages[code].noun(name).forms
    assert (forms["bare"], forms["the"]) == (bare, the)


def test_mandarin_counts_without_the_article() -> None:
    said = words(language="zh")
    asked = {
        replace(said, key=str(n)).text("<ask.count>", s=said.sound("Bark", "")) for n in range(50)
    }
    assert len(asked) > 10
    assert not any("一声" in text for text in asked)
