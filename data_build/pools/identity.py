"""When two items are the same text or the same recording, for the splits and for their audit."""

from __future__ import annotations

import re
import unicodedata

from data_build.records import Clip, Dialogue

_WORD = re.compile(r"[^\W_]+")
_SPACELESS = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]")
_LEAST_WORDS, _LEAST_CHARACTERS = 3, 6


def same_text(text: str) -> str:
    """The text without case, accents of its encoding, punctuation and spacing."""
    return " ".join(_WORD.findall(unicodedata.normalize("NFKC", text).casefold()))


def identifying(text: str) -> str:
    """`same_text` where it tells a text from others, else nothing.

    Up to two words, or five characters of a script without spaces, are vocabulary ("one", "thank
    you"), which all splits may share.
    """
    plain = same_text(text)
    long = len(_SPACELESS.findall(plain)) >= _LEAST_CHARACTERS
    return plain if long or len(plain.split()) >= _LEAST_WORDS else ""


def texts_of(item: Clip | Dialogue) -> list[str]:
    """The identifying texts of an item: what is said in it, and the translation of that."""
    if isinstance(item, Dialogue):
        said = [turn.user for turn in item.turns]
    else:
        said = [item.text, item.translation]
    return list(dict.fromkeys(filter(None, map(identifying, said))))
