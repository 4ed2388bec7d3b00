"""The length of replies."""

from __future__ import annotations

import re

_SENTENCE = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])")


def shortened(text: str, max_words: int) -> str:
    """The leading sentences that fit ``max_words`` (at least a cut first one).

    Characters count as words where a text has no spaces.
    """
    kept = ""
    for sentence in _SENTENCE.split(text):
        longer = f"{kept} {sentence}".strip()
        if _words(longer) > max_words:
            break
        kept = longer
    if kept:
        return kept
    words = text.split()
    return " ".join(words[:max_words]) if len(words) > 1 else text[:max_words]


def _words(text: str) -> int:
    return max(len(text.split()), sum("\u4e00" <= c <= "\u9fff" for c in text))
