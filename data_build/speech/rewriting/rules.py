"""A rule, and what a list of rules makes of a text: the new text and every change by name."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

_MAX_PASSES = 12


@dataclass(frozen=True)
class Change:
    """One replacement: the rule that made it, what was there, what is there now."""

    rule: str
    before: str
    after: str


@dataclass(frozen=True)
class Rule:
    """Replaces every match; a replacement equal to its match is not a change.

    ``replace`` may return None to leave a match alone.
    """

    name: str
    pattern: re.Pattern[str]
    replace: Callable[[re.Match[str]], str | None]


def rule(
    name: str, pattern: str, replace: str | Callable[[re.Match[str]], str | None], flags: int = 0
) -> Rule:
    """A `Rule` from source; a string replacement may refer to groups (``\\1``)."""
    compiled = re.compile(pattern, flags)
    if callable(replace):
        return Rule(name, compiled, replace)
    return Rule(name, compiled, lambda found, template=replace: found.expand(template))  # type: ignore[misc]


def apply_rules(text: str, rules: Sequence[Rule]) -> tuple[str, tuple[Change, ...]]:
    """Applies the rules in order, again and again until none changes anything.

    What one rule uncovers (a link inside emphasis) another pass takes; so the result of a rewrite
    is a text that a rewrite leaves alone.
    """
    changes: list[Change] = []
    for _ in range(_MAX_PASSES):
        before = text
        for one in rules:
            text = one.pattern.sub(lambda found, one=one: _replaced(one, found, changes), text)  # type: ignore[misc]
        if text == before:
            break
    return text, tuple(changes)


def _replaced(one: Rule, found: re.Match[str], changes: list[Change]) -> str:
    after = one.replace(found)
    if after is None or after == found[0]:
        return found[0]
    changes.append(Change(one.name, found[0], after))
    return after


def apart(found: re.Match[str], said: str) -> str:
    """``said`` with a space to the left or right where a word would touch it otherwise."""
    before = found.string[found.start() - 1 : found.start()]
    after = found.string[found.end() : found.end() + 1]
    left = " " if before and not before.isspace() and before not in "([{“\"'‘-–—" else ""
    right = " " if after.isalnum() or after in tuple("([{“‘") else ""
    return f"{left}{said}{right}"
