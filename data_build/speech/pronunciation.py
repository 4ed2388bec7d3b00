"""How English words sound: the dictionary inside `pocketsphinx` (CMUdict, 134 000 words)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

DICTIONARY = "model/en-us/cmudict-en-us.dict"


def phones(words: Sequence[str]) -> list[str] | None:
    """The phones of ``words`` in a row; None if a word is unknown, or the dictionary not installed.

    The first pronunciation of each word is taken.
    """
    known = _dictionary()
    if not all(word in known for word in words):
        return None
    return [phone for word in words for phone in known[word].split()]


@lru_cache(maxsize=1)
def _dictionary() -> dict[str, str]:
    package = find_spec("pocketsphinx")
    if package is None or package.origin is None:
        return {}
    lines = (Path(package.origin).parent / DICTIONARY).read_text("utf-8").splitlines()
    # Further pronunciations are entries of their own, named "word(2)".
    return {word: said for word, _, said in (line.partition(" ") for line in lines)}
