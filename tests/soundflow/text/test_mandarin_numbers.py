from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundflow.text.mandarin_numbers import LARGEST, read_number, say_digits, say_number


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0, "零"),
        (7, "七"),
        (10, "十"),
        (15, "十五"),
        (20, "二十"),
        (101, "一百零一"),
        (110, "一百一十"),
        (1000, "一千"),
        (1010, "一千零一十"),
        (10203, "一万零二百零三"),
        (100000, "十万"),
        (1050000, "一百零五万"),
        (20001000, "二千万一千"),
        (100000001, "一亿零一"),
        (-12, "负十二"),
        (10**12, "一万亿"),
        (12 * 10**11, "一万二千亿"),
    ],
)
def test_values_are_read_as_a_speaker_reads_them(value: int, said: str) -> None:
    assert say_number(value) == said


@given(st.integers(0, LARGEST))
def test_a_number_reads_back(value: int) -> None:
    assert read_number(say_number(value)) == value


def test_colloquial_and_digit_by_digit_forms_are_read() -> None:
    assert read_number("两百") == 200
    assert read_number("十") == 10
    assert read_number("二〇二四") == 2024
    assert say_digits("2024") == "二零二四"


def test_what_is_no_numeral_is_refused() -> None:
    with pytest.raises(ValueError, match="numeral"):
        read_number("猫")
    with pytest.raises(ValueError, match="reading"):
        say_number(LARGEST + 1)
