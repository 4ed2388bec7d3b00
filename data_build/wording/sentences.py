"""Sentences from the texts of the grammar: articles, spaces and capitals in order."""

from __future__ import annotations

import re

_ARTICLE = re.compile(r"\b(a|A)/an (?=(\W*\w+))")
_AN = re.compile(r"(?i)[aeiou](?!ni[^n]|se|ne\b)|hour|honest")
_SPACES, _BEFORE_MARK = re.compile(r"\s+"), re.compile(r" +(?=[,.;:!?])")
_BEGINNING = re.compile(r"(?:^|(?<=[.!?] ))[a-z]")
_SPACELESS = ("zh", "ja")
_HAN_SPACE = re.compile(r"(?<=[^\x00-\x7f]) +| +(?=[^\x00-\x7f])")


def finished(text: str, language: str) -> str:
    """A sentence or more, with articles, spaces and capitals in order."""
    text = tidied(text, language)
    return text if language in _SPACELESS else _BEGINNING.sub(lambda m: m[0].upper(), text)


def tidied(text: str, language: str) -> str:
    """A text with its articles and spaces in order."""
    text = _BEFORE_MARK.sub("", _SPACES.sub(" ", text)).strip()
    if language in _SPACELESS:
        return _HAN_SPACE.sub("", text)
    return _ARTICLE.sub(lambda m: f"{m[1]}{'n' if _AN.match(m[2].lstrip()) else ''} ", text)
