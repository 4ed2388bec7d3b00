"""Which streams are joined to longer ones."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from inference.evaluate.timing.stability import by_length, by_number, of_one_instruction
from inference.evaluate.timing.truth import Truth


def test_streams_under_another_instruction_are_not_joined() -> None:
    truths = [Truth(name, 10, (), system=said) for name, said in zip("abcd", "xyyx", strict=True)]
    assert of_one_instruction(truths) == [0, 3]
    assert of_one_instruction(truths[:3]) == [1, 2]
    assert of_one_instruction([]) == []


def test_by_number_takes_all_in_order() -> None:
    assert by_number(7, 3) == [(0, 1, 2), (3, 4, 5), (6,)]


def test_what_is_too_short_for_the_length_is_taken_again() -> None:
    assert by_length([5, 5, 5], 40) == [(0, 1, 2, 0, 1, 2, 0, 1)]
    assert by_length([5, 5, 5, 5, 5], 10) == [(0, 1), (2, 3)]
    assert by_length([], 10) == []


@given(st.lists(st.integers(1, 50), min_size=1, max_size=12), st.integers(1, 200))
def test_every_group_is_as_long_as_asked_and_only_a_lone_one_repeats(
    lengths: list[int], at_least: int
) -> None:
    groups = by_length(lengths, at_least)
    for group in groups:
        assert sum(lengths[k] for k in group) >= at_least
        assert sum(lengths[k] for k in group[:-1]) < at_least
    places = [k for group in groups for k in group]
    assert len(groups) == 1 or len(set(places)) == len(places)
