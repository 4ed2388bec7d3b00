"""Mandarin numerals: integers to characters as they are read aloud, and back.

Four digits form a group read with 千 百 十; the groups are named 万 and 亿. A gap inside or
between groups is read as one 零, and a leading 一十 is shortened to 十.
"""

from __future__ import annotations

import re

DIGITS = "零一二三四五六七八九"
_SMALL_UNITS = ("", "十", "百", "千")
_GROUP_UNITS = ("", "万", "亿", "万亿")
LARGEST = 10**16 - 1

_VALUE = {c: i for i, c in enumerate(DIGITS)} | {"〇": 0, "两": 2}
_UNIT_VALUE = {"十": 10, "百": 100, "千": 1000}
NUMERAL = re.compile(r"[零〇一二三四五六七八九两十百千万亿]+")


def say_digits(digits: str) -> str:
    """Digit by digit, as years and telephone numbers are read: "2024" -> 二零二四."""
    return "".join(DIGITS[int(d)] for d in digits)


def say_number(value: int) -> str:
    """The value in words: 10203 -> 一万零二百零三.

    Raises:
        ValueError: above `LARGEST`.
    """
    if value < 0:
        return "负" + say_number(-value)
    if value > LARGEST:
        raise ValueError(f"{value} has no common reading")
    if value == 0:
        return DIGITS[0]
    groups: list[int] = []
    while value:
        value, group = divmod(value, 10_000)
        groups.append(group)
    said = ""
    gap = False
    for at in range(len(groups) - 1, -1, -1):
        group = groups[at]
        if group == 0:
            gap = bool(said)
            continue
        if said and (gap or group < 1000):
            said += DIGITS[0]
        said += _say_group(group) + _group_unit(groups, at)
        gap = False
    return said[1:] if said.startswith("一十") else said


def _group_unit(groups: list[int], at: int) -> str:
    # 万亿 above a non-empty 亿 group is read with the 亿 said once: 一万二千亿.
    if at == 3 and groups[2]:
        return "万"
    return _GROUP_UNITS[at]


def _say_group(group: int) -> str:
    said = ""
    gap = False
    for power in range(3, -1, -1):
        digit = group // 10**power % 10
        if digit == 0:
            gap = bool(said)
            continue
        said += (DIGITS[0] if gap else "") + DIGITS[digit] + _SMALL_UNITS[power]
        gap = False
    return said


def read_number(numeral: str) -> int:
    """The value of a numeral in characters, with units or digit by digit.

    Raises:
        ValueError: if it is not a numeral.
    """
    if not NUMERAL.fullmatch(numeral):
        raise ValueError(f"{numeral!r} is not a Mandarin numeral")
    if not re.search("[十百千万亿]", numeral):
        return int("".join(str(_VALUE[c]) for c in numeral))
    total = section = digit = 0
    for character in numeral:
        if character in _VALUE:
            digit = _VALUE[character]
        elif character in _UNIT_VALUE:
            section += (digit or 1) * _UNIT_VALUE[character]
            digit = 0
        else:
            scale = 10_000 if character == "万" else 10**8
            section += digit
            if character == "亿":
                total, section = (total + section) * scale, 0
            else:
                total, section = total + section * scale, 0
            digit = 0
    return total + section + digit
