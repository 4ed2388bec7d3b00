from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundflow.text.normalize import level_compounds, normalise, split_numerals, units


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Dr. Smith paid $20.50!", "doctor smith paid twenty dollars and fifty cents"),
        ("Um, I don't know.", "i do not know"),
        ("The colour of the theatre", "the color of the theater"),
        ("in nineteen ninety five", "in 1995"),
        ("They organised it, travelling.", "they organized it traveling"),
        ("At 10:30 a.m., not 7:05pm.", "at ten thirty am not seven oh five p m"),
        ("From 2:00 to 12:45", "from two o'clock to twelve forty five"),
        ("May 3rd, the 21st", "may third the twenty first"),
        ("It costs £5 or 3.5%", "it costs five pounds or three point five percent"),
    ],
)
def test_spellings_of_the_same_english_agree(one: str, other: str) -> None:
    assert normalise(one, "en") == normalise(other, "en-GB")


@pytest.mark.parametrize("language", ["en", "de", "zh"])
def test_han_by_character_and_latin_by_word(language: str) -> None:
    assert units("我们 love 音乐", language) == ["我", "们", "love", "音", "乐"]


@pytest.mark.parametrize("language", ["en", "de", "zh"])
def test_words_in_brackets_are_said(language: str) -> None:
    said = ["press", "or", "say", "it", "now", "if", "a", "b"]
    assert units("press (or say) it [now] if a < b", language) == said


def test_numerals_in_words_are_numerals() -> None:
    assert units("thirty six", "en") == units("36", "en") == ["36"]


def test_words_that_differ_stay_different() -> None:
    assert normalise("four cats") != normalise("for cats")
    assert normalise("turn it on") != normalise("turn it off")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("今天,23度。", "今天二十三度"),
        ("二〇二四年", "2024年"),
        ("我有 thirty six 块", "我有36块"),
        ("我有 1,200 块", "我有一千二百块"),
    ],
)
def test_spellings_of_the_same_chinese_agree(one: str, other: str) -> None:
    assert units(one, "zh") == units(other, "zh")


def test_chinese_is_counted_by_character_and_latin_words_stay_whole() -> None:
    assert units("打开WiFi吧!", "zh-CN") == ["打", "开", "wifi", "吧"]


def test_other_languages_keep_their_letters() -> None:
    assert units("Wie heißt du? Müller-Straße, l'été", "de") == [
        "wie", "heißt", "du", "müller", "straße", "l'été",
    ]  # fmt: skip


def test_times_agree_digit_by_digit() -> None:
    written, said = units("at 7 30"), units("at seven thirty")
    assert written != said
    assert split_numerals(written) == split_numerals(said)


def test_what_is_no_time_of_day_stays_apart() -> None:
    assert units("10:75") == ["10", "75"]
    assert units("1:02:03") != units("1:02 03")


def test_compounds_agree_however_they_are_written() -> None:
    one, other = level_compounds(units("the mail box key word"), units("the mailbox keyword"))
    assert one == other
    one, other = level_compounds(["b", "c"], ["bc"])
    assert one != other  # spelt letters are not a word


@given(st.text(max_size=60), st.sampled_from(["zh", "de"]))
def test_normalising_twice_changes_nothing(text: str, language: str) -> None:
    once = normalise(text, language)
    assert normalise(once, language) == once
