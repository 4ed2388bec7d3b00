"""What a list of rules makes of a text, and the rules of every language.

Those remove what is written but never spoken: Markdown, HTML, code, addresses, emoji.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

_MAX_PASSES = 12
# Inline code that reads like words is kept; anything longer or denser is left out.
_WORDLIKE_CODE = re.compile(r"[A-Za-z][A-Za-z0-9]*(?:[ ._-][A-Za-z0-9]+){0,3}")

_EMOJI = (
    "["
    "\U0001f000-\U0001faff"  # faces, hands, transport, symbols, flags
    "\u2600-\u27bf"  # miscellaneous symbols and dingbats
    "\u2b00-\u2bff\u23e9-\u23fa\u231a\u231b\u25fb-\u25fe\u24c2\u3030\u303d\u3297\u3299"
    "\u2190-\u2193\u2194-\u21ff"  # arrows
    "\U000e0020-\U000e007f"  # tag characters of flags
    "\ufe0e\ufe0f\u200d\u20e3"  # variation selectors, joiner, keycap
    "]+"
)
_TEXT_ARROW = "→"  # spoken as "to" by the language's own rules


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


def markup_rules(code_omitted: str, formula_omitted: str, full_stop: str) -> list[Rule]:
    """What is written but never spoken, in any language.

    Args:
        code_omitted: what is said in place of long code.
        formula_omitted: what is said in place of a displayed formula.
        full_stop: what ends a line that has no end mark of its own.
    """

    def code(found: re.Match[str]) -> str:
        content = found["code"].strip()
        return content.replace("_", " ") if _WORDLIKE_CODE.fullmatch(content) else code_omitted

    def line_break(found: re.Match[str]) -> str:
        before = found["mark"]
        return f"{before} " if before in ".!?:;,。!?:;,、…" else f"{before}{full_stop} "

    return [
        rule(
            "code block",
            r"(?ms)^[ \t]*(`{3,}|~{3,})[^\n]*\n.*?(?:^[ \t]*\1[ \t]*$|\Z)",
            code_omitted,
        ),
        rule("code block", r"(?s)```.*?(?:```|\Z)", code_omitted),
        rule("inline code", r"(?P<tick>`{1,2})(?P<code>[^`\n]+)(?P=tick)", code),
        rule("formula", r"(?s)\$\$.+?\$\$|\\\[.+?\\\]|\\\(.+?\\\)", formula_omitted),
        rule("image", r"!\[(?P<alt>[^\]\n]*)\]\([^)\n]*\)", r"\g<alt>"),
        rule("link", r"\[(?P<text>[^\]\n]+)\]\((?:[^()\n]|\([^()\n]*\))*\)", r"\g<text>"),
        rule("link", r"\[(?P<text>[^\]\n]+)\]\[[^\]\n]*\]", r"\g<text>"),
        rule(
            "URL", r"<?\b(?:https?|ftp)://[^\s<>\u3000-\u9fff]*[^\s<>.,;:!?)\]\u3000-\u9fff]>?", ""
        ),
        rule("URL", r"\bwww\.[^\s<>\u3000-\u9fff]*[^\s<>.,;:!?)\]\u3000-\u9fff]", ""),
        rule("HTML", r"(?s)<!--.*?-->|</?[A-Za-z][A-Za-z0-9]*(?:\s[^<>\n]*)?/?>", " "),
        rule("HTML entity", r"&(nbsp|amp|lt|gt|quot|#39);", _entity),
        rule("rule line", r"(?m)^[ \t]*(?:[-*_][ \t]*){3,}$\n?", ""),
        rule(
            "table",
            r"(?m)^[ \t]*\|?[ \t]*:?-{2,}:?[ \t]*(?:\|[ \t]*:?-{2,}:?[ \t]*)+\|?[ \t]*$\n?",
            "",
        ),
        rule("table", r"(?m)^[ \t]*\|(?P<row>.+)\|[ \t]*$", _table_row),
        rule(
            "heading", r"(?m)^[ \t]{0,3}#{1,6}[ \t]+(?P<text>[^\n]*?)[ \t]*#*[ \t]*$", r"\g<text>"
        ),
        rule("quote mark", r"(?m)^[ \t]*(?:>[ \t]?)+", ""),
        rule("check box", r"(?m)^[ \t]*[-*+][ \t]+\[[ xX]\][ \t]+", ""),
        rule("bullet", r"(?m)^[ \t]*[-*+•‣◦▪●○·][ \t]+(?=\S)", ""),
        rule("list number", r"(?m)^[ \t]*\d{1,3}[.)][ \t]+(?=\S)", ""),
        rule("emphasis", r"(?<![\w*])(\*{1,3})(?=[^\s*])([^\n]*?[^\s*])\1(?![\w*])", r"\2"),
        rule("emphasis", r"(?<!\w)(_{1,3})(?=[^\s_])([^\n]*?[^\s_])\1(?!\w)", r"\2"),
        rule("emphasis", r"\*\*(?=\S)([^*\n]+?)\*\*", r"\1"),
        rule("strike-through", r"~~(?=\S)([^~\n]+?)~~", r"\1"),
        rule("footnote", r"\[\^?\d{1,3}\]", ""),
        rule("emoji", _EMOJI, lambda found: None if found[0] == _TEXT_ARROW else " "),
        rule("invisible", "[\u200b\u200c\u2060\ufeff\u00ad\u200e\u200f]+", ""),
        rule("line break", r"(?P<mark>\S)[ \t]*(?:\r?\n[ \t]*)+(?=\S)", line_break),
    ]


def spacing_rules() -> list[Rule]:
    """What the other rules leave behind: doubled spaces, empty brackets, space before a comma."""
    return [
        rule("empty brackets", r"[(\[{]\s*[)\]}]|“\s*”|\"\s*\"|《\s*》|（\s*）", ""),
        rule("spacing", r"[^\S ]+|(?: |[^\S ]){2,}", " "),
        rule("spacing", r"(?<=\S) +(?=[,.;:!?](?:\s|$))", ""),
        rule("doubled mark", r"([,;:])(?:[,;:])+", r"\1"),
        rule("doubled mark", r"[,;:]+(?=[.!?])", ""),
        rule("spacing", r"\A\s+|\s+\Z", ""),
        rule("stray mark", r"^[\s,.;:]+(?=\S)|^[\s,;:]+$", ""),
    ]


def _entity(found: re.Match[str]) -> str:
    return {"nbsp": " ", "amp": "&", "lt": "<", "gt": ">", "quot": '"', "#39": "'"}[found[1]]


def _table_row(found: re.Match[str]) -> str:
    return ", ".join(cell.strip() for cell in found["row"].split("|") if cell.strip())
