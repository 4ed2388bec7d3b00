from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from soundflow.text.wer import ErrorCount, count_errors, count_unit_errors


def _edit_distance(a: list[str], b: list[str]) -> int:
    """Wagner & Fischer 1974, as in the textbook."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        last, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (x != y))
    return row[-1]


words = st.lists(st.sampled_from(["a", "b", "c", "d"]), max_size=8)


@given(words, words)
def test_errors_are_the_edit_distance(reference: list[str], hypothesis: list[str]) -> None:
    found = count_unit_errors(reference, hypothesis)
    assert found.errors == _edit_distance(reference, hypothesis)
    assert found.reference_units == len(reference)


def test_each_kind_of_error_is_counted_as_itself() -> None:
    assert count_errors("open the door", "open the drawer").substitutions == 1
    assert count_errors("open the door", "open door").deletions == 1
    assert count_errors("open the door", "please open the door").insertions == 1


def test_counts_add_up_before_the_rate_is_taken() -> None:
    total = count_errors("a b c d", "a b c d") + count_errors("x", "y")
    assert total.errors == 1
    assert total.rate == 1 / 5


def test_without_a_reference_there_is_no_rate() -> None:
    assert count_errors("", "hello").rate is None
    assert count_errors("", "hello").insertions == 1
    assert sum([], ErrorCount()).rate is None


def test_chinese_is_counted_by_character() -> None:
    found = count_errors("今天天气很好", "今天天七很好", "zh")
    assert (found.substitutions, found.reference_units) == (1, 6)
