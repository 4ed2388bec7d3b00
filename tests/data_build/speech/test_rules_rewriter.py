from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_build.speech.rewriting.english_words import ABBREVIATIONS
from data_build.speech.rewriting.rewriter import RuleRewriter, strip_markup

rewriter = RuleRewriter()

ENGLISH = [
    ("**Bold** and _soft_, `code_name` and ~~gone~~.", "Bold and soft, code name and gone.",
     {"emphasis", "inline code", "strike-through"}),
    ("See [the page](https://a.b/c_(d)?e=1) 🙂!", "See the page!", {"link", "emoji"}),
    ("Visit https://example.com/x?y=1, please.", "Visit, please.", {"URL"}),
    ("# Plan\n\n- first\n- second\n", "Plan. first. second", {"heading", "bullet", "line break"}),
    ("Do this:\n```python\nfor i in x:\n    print(i)\n```\nDone.", "Do this: code omitted. Done.",
     {"code block", "line break"}),
    ("| a | b |\n|---|---|\n| c | d |", "a, b. c, d", {"table", "line break"}),
    ("<b>Hi</b> &amp; bye", "Hi and bye", {"HTML", "HTML entity", "symbol"}),
    ("It costs $1.50, €20 or £3.2 million.",
     "It costs one dollar and fifty cents, twenty euros or three point two million pounds.",
     {"currency"}),
    ("May 12, 2024 is 2024-05-12.",
     "May twelfth, twenty twenty-four is May twelfth, twenty twenty-four.", {"date"}),
    ("on 3rd of June at 7:05 p.m. sharp", "on June third at seven oh five PM sharp",
     {"date", "time"}),
    ("at 14:30 or 9 am", "at two thirty PM or nine AM", {"time"}),
    ("In 1999 and the 1980s, 2000 people.",
     "In nineteen ninety-nine and the nineteen eighties, two thousand people.",
     {"year", "decade", "number"}),
    ("-5°C, 3.5 GB, 100 km/h, 1 ft",
     "minus five degrees Celsius, three point five gigabytes, one hundred kilometers per hour, "
     "one foot", {"temperature", "unit"}),
    ("the 21st, 1/2 cup, 2 ½ cups, 3/4",
     "the twenty-first, one half cup, two and one half cups, three quarters",
     {"ordinal", "fraction"}),
    ("Dr. Smith vs. Mr. Jones, e.g. today", "Doctor Smith versus Mister Jones, for example today",
     {"abbreviation"}),
    ("5 % of 1,234,567 is 10-20 things", "five percent of one million two hundred thirty-four "
     "thousand five hundred sixty-seven is ten to twenty things", {"percent", "range", "number"}),
    ("Call 555-123-4567.", "Call five five five, one two three, four five six seven.",
     {"telephone"}),
    ("x^2 + y = 10 & C# < C++", "x squared plus y equals ten and C sharp less than C plus plus",
     {"power", "symbol", "number", "programming language"}),
    ("GPT-4 and 007", "GPT four and zero zero seven", {"letters and digits", "digits", "number"}),
    ("World War II and the Book I read", "World War two and the Book I read", {"Roman numeral"}),
    ("mail a.b@c.org now", "mail a dot b at c dot org now", {"e-mail"}),
    ("🙂", "", {"emoji"}),
]  # fmt: skip

MANDARIN = [
    ("气温-5°C,湿度12.5%。", "气温负五摄氏度，湿度百分之十二点五。"),
    ("2024年5月12日7:30", "二零二四年五月十二日七点三十分"),
    ("我有2个苹果和12只猫,花了¥100.5", "我有两个苹果和十二只猫，花了一百点五元"),
    ("电话13812345678", "电话一三八一二三四五六七八"),
    ("第3名用时3-5分钟,占1/2", "第三名用时三到五分钟，占二分之一"),
    ("**重点**:看[这里](http://a.b) 😀", "重点：看这里"),
    ("```\nx\n```", "代码略"),
]


@pytest.mark.parametrize(("written", "spoken", "rules"), ENGLISH)
def test_english_is_written_out_and_every_change_named(
    written: str, spoken: str, rules: set[str]
) -> None:
    rewritten = rewriter.rewrite(written, "en")
    assert rewritten.text == spoken
    assert rules <= set(rewritten.rules)
    assert set(rewritten.rules) - rules <= {"spacing", "stray mark", "empty brackets"}
    assert all(change.before != change.after for change in rewritten.changes)


@pytest.mark.parametrize(("written", "spoken"), MANDARIN)
def test_mandarin_is_written_out(written: str, spoken: str) -> None:
    rewritten = rewriter.rewrite(written, "zh-CN")
    assert rewritten.text == spoken
    assert rewritten.changes


def test_other_languages_say_their_own_numbers() -> None:
    assert rewriter.rewrite("Es kostet 3,50 € & 20%.", "de").text == (
        "Es kostet drei Komma fünf null Euro und zwanzig Prozent."
    )
    assert rewriter.rewrite("**hello** 5", "pl").text == "hello 5"


# "Dr." at the end of a sentence is an abbreviation, not a clean word and a full stop.
SHORT = {"st.", *(abbreviation.lower() for abbreviation in ABBREVIATIONS)}
word = st.text(
    alphabet=st.sampled_from("abcdefghijklmnopqrstuvwxyzé"), min_size=1, max_size=8
).filter(lambda w: f"{w}." not in SHORT)


@given(st.lists(word, min_size=1, max_size=10), st.sampled_from(".?!"))
def test_a_clean_sentence_comes_back_as_it_was(words: list[str], mark: str) -> None:
    sentence = " ".join(words).capitalize() + mark
    rewritten = rewriter.rewrite(sentence, "en")
    assert rewritten.text == sentence
    assert rewritten.changes == ()


@pytest.mark.parametrize(
    ("sentence", "language"),
    [
        ("Well, it's “fine” — really (yes); isn't it?", "en"),
        ("She's well-known: a mother-in-law, and so on...", "en"),
        ("今天天气很好，我们去公园吧。", "zh"),
    ],
)
def test_ordinary_punctuation_is_clean(sentence: str, language: str) -> None:
    rewritten = rewriter.rewrite(sentence, language)
    assert (rewritten.text, rewritten.changes) == (sentence, ())


untidy = st.text(
    alphabet=st.sampled_from("abIV 0123456789.,:;-–/%$€°½#*_`[]()<>|~^&@+=!?'\"\n\\年月日个🙂→"),
    max_size=40,
)


@settings(max_examples=300, deadline=None)
@given(untidy, st.sampled_from(["en", "zh", "de", "pl"]))
def test_rewriting_twice_changes_nothing_more(text: str, language: str) -> None:
    once = rewriter.rewrite(text, language)
    again = rewriter.rewrite(once.text, language)
    assert again.text == once.text
    assert again.changes == ()


@settings(max_examples=150, deadline=None)
@given(untidy)
def test_no_digit_or_mark_up_survives_in_english(text: str) -> None:
    spoken = rewriter.rewrite(text, "en").text
    assert not any(c.isdigit() or c in "*_`[]|\\^#~<>$€%&@+=" for c in spoken)


def test_replies_keep_their_numbers_and_lose_their_markup() -> None:
    assert strip_markup("**Sure**: 5 & 6 🙂", "en").text == "Sure: 5 & 6"
