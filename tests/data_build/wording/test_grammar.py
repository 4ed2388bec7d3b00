"""A line of the grammar stands for the texts that its signs say, and for no others."""

from __future__ import annotations

import contextlib
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_build.wording.grammar import (
    GrammarFault,
    Rules,
    Unavailable,
    Words,
    choice,
    count,
    expand,
    literal,
    parse,
    slot_names,
)

RULES = Rules(
    {
        "greet": choice(["hello", "good (morning|evening)"]),
        "pace_fast": choice(["quickly", "at once"]),
        "pace_slow": choice(["slowly"]),
    }
)
DOG = Words("a dog", {"the": "the dog"})
STEPS = Words("steps", {"the": "the steps"}, many=True)


def texts(line: str, **slots: Words) -> set[str]:
    rng = random.Random(1)
    return {expand(parse(line), RULES, slots, rng) for _ in range(300)}


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("(a|b) c", {"a c", "b c"}),
        ("a[ b| c]", {"a", "a b", "a c"}),
        ("<greet>, you", {"hello, you", "good morning, you", "good evening, you"}),
        ("{s} {s:is/are} {s.the}", {"a dog is the dog"}),
        ("go[ <pace_{pace}>]", {"go", "go quickly", "go at once"}),
        (r"a \(b\) \| c", {"a (b) | c"}),
        ("plain", {"plain"}),
    ],
)
def test_a_line_stands_for_these_texts(line: str, found: set[str]) -> None:
    assert texts(line, s=DOG, pace=Words("fast")) == found
    if "pace" not in line:
        assert count(parse(line), RULES) == len(found)


def test_a_verb_goes_with_the_number_of_its_noun() -> None:
    assert texts("there {s:is/are} {s}", s=STEPS) == {"there are steps"}


def test_what_needs_a_missing_slot_is_left_out() -> None:
    assert texts("go[ <pace_{pace}>][, {s}]") == {"go"}
    assert texts("(run {s}|walk)") == {"walk"}
    with pytest.raises(Unavailable, match="s"):
        expand(parse("see {s}"), RULES, {}, None)
    with pytest.raises(Unavailable, match="pace_odd"):
        expand(parse("<pace_{pace}>"), RULES, {"pace": Words("odd")}, None)


def test_the_plainest_text_is_the_first_without_options() -> None:
    assert expand(parse("(go|run)[ on] <greet>"), RULES, {}, None) == "go hello"


def test_a_line_knows_its_slots() -> None:
    assert slot_names(parse("({s}|<pace_{pace}>)[ {n.times}]"), RULES) == {"s", "pace", "n"}


@pytest.mark.parametrize(
    "line", ["(a|b", "[a", "a)", "a]", "a|b", "<a", "{a b}", "{}", "}", ">", "(a]"]
)
def test_a_line_that_is_not_of_the_grammar_is_named(line: str) -> None:
    with pytest.raises(GrammarFault, match="character"):
        parse(line)


@given(st.text(max_size=40))
def test_a_literal_stands_for_itself(text: str) -> None:
    assert expand(parse(literal(text)), RULES, {}, None) == text


@given(st.text(alphabet="ab()[]|<>{}\\ ", max_size=20))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(GrammarFault):
        parse(text)
