"""Text normalisation for comparing a reference with a transcript, used for every WER.

English follows Whisper's normaliser (Radford et al. 2022, appendix C), in the implementation that
transformers ships: case, punctuation, fillers and contractions levelled, numerals written as
digits. Words in brackets count in all languages: a reader says them (that normaliser alone leaves
them out). Chinese and Japanese are compared by character (CER), everything else by word; where a
text mixes scripts, Han is compared by character and Latin by word, whatever its language.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Any

from soundflow.text.mandarin_numbers import NUMERAL, read_number, say_digits

VERSION = 4  # printed beside every score: another version is another ruler
BY_CHARACTER = frozenset({"zh", "ja", "yue"})


def primary_language(tag: str) -> str:
    """The language of a tag without script and region: "zh" of "zh-Hant-TW"."""
    return tag.split("-")[0].lower()


_UNBRACKETED = str.maketrans("()[]<>", "      ")
_HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
_BETWEEN_LATIN = re.compile(r"(?<=[a-z])(?:(?!')[\W_])+(?=[a-z])")
_ENGLISH = re.compile(r"[a-z]+(?:[ '-]+[a-z]+)+")  # several words: numerals among them

# That normaliser reads a time as two numbers, and its words as one.
_TIME = re.compile(r"(?<![\d:])(\d{1,2}):([0-5]\d)(?![\d:])")

# Spelling that ASR models choose by accent, not by sound. Both sides are mapped, so a
# rule that also hits an innocent word does no harm unless it makes two words alike.
_SPELLING = (
    (re.compile(r"\b(col|fav|hon|lab|neighb|behavi|flav|harb|hum|rum|vap|splend)our"), r"\1or"),
    (re.compile(r"\b(cent|theat|met|lit|fib)re(s?)\b"), r"\1er\2"),
    (re.compile(r"(?<=[a-z]{3})is(e|ed|es|ing|ation|ations|er|ers)\b"), r"iz\1"),
    (re.compile(r"(?<=[a-z]{3})ys(e|ed|ing)\b"), r"yz\1"),
    (re.compile(r"\b(travel|cancel|label|model|signal|level|fuel)l(ed|ing|er|ers)\b"), r"\1\2"),
    (re.compile(r"\b(catal|dial|anal)ogue"), r"\1og"),
    (re.compile(r"\b(def|off|lic)ence"), r"\1ense"),
    (re.compile(r"\bgrey"), "gray"),
    (re.compile(r"\b(program|kilogram)me"), r"\1"),
    (re.compile(r"\bokay\b"), "ok"),
    (re.compile(r"\b([ap]) m\b"), r"\1m"),
)


@lru_cache(maxsize=1)
def _whisper_english() -> Any:
    from transformers.models.whisper.english_normalizer import EnglishTextNormalizer

    return EnglishTextNormalizer({})


def normalise(text: str, language: str = "en") -> str:
    """The text without what is not pronounced; words (or single characters) separated by spaces.

    Args:
        language: ISO 639-1 code; a region ("en-GB") is ignored.
    """
    return " ".join(units(text, language))


def units(text: str, language: str = "en") -> list[str]:
    """What is counted in an error rate: words, or characters in `BY_CHARACTER` languages."""
    code = primary_language(language)
    if code == "en":
        spoken = unicodedata.normalize("NFKC", text).translate(_UNBRACKETED)
        levelled = str(_whisper_english()(_TIME.sub(_as_said, spoken)))
        for pattern, replacement in _SPELLING:
            levelled = pattern.sub(replacement, levelled)
        return _han_apart(levelled)
    if code in BY_CHARACTER:
        return _characters(text)
    return [part for word in _words(text) for part in _han_apart(word)]


def split_numerals(spoken: list[str]) -> list[str]:
    """Every digit a unit of its own, separators and leading units gone.

    "seven thirty" may be written 730 or 7:30, and both are right; digit by digit they agree.
    """
    return [part for unit in spoken for part in _numeral_parts(unit)]


def level_compounds(one: list[str], other: list[str]) -> tuple[list[str], list[str]]:
    """Joins neighbours that the other side writes as one word: "mail box" and "mailbox"."""
    return _joined(one, set(other)), _joined(other, set(one))


def _joined(spoken: list[str], known: set[str]) -> list[str]:
    out: list[str] = []
    for unit in spoken:
        if out and len(unit) > 1 and len(out[-1]) > 1 and out[-1] + unit in known:
            out[-1] += unit
        else:
            out.append(unit)
    return out


def _numeral_parts(unit: str) -> list[str]:
    if not any(c.isdigit() for c in unit):
        return [unit]
    return re.findall(r"\d|[^\W\d_]+|[%$€£]", unit)


def _han_apart(text: str) -> list[str]:
    """Words; each Han character is one of its own."""
    return _HAN.sub(r" \g<0> ", text).split()


def _words(text: str) -> list[str]:
    kept = (
        c if unicodedata.category(c)[0] in "LMN" or c == "'" else " "
        for c in unicodedata.normalize("NFKC", text).lower().replace("’", "'")
    )
    return [w.strip("'") for w in "".join(kept).split() if w.strip("'")]


def _characters(text: str) -> list[str]:
    """Characters one by one; a run of Latin letters stays one unit; numerals digit by digit."""
    level = unicodedata.normalize("NFKC", text).lower()
    level = _BETWEEN_LATIN.sub(" ", level)  # as a second pass would read it
    level = _ENGLISH.sub(lambda found: str(_whisper_english()(found[0])), level)
    level = NUMERAL.sub(lambda found: _as_digits(found[0]), level)
    level = re.sub(r"(?<=\d),(?=\d{3})", "", level)
    level = re.sub(r"\d+", lambda found: say_digits(found[0]), level)
    return re.findall(r"[a-z']*[a-z]|[^\W_]", level)


def _as_said(time: re.Match[str]) -> str:
    """10:30 as "ten thirty" comes out, 10:00 as "ten o'clock"."""
    return f"{time[1]} o'clock " if time[2] == "00" else f"{time[1]}{time[2]} "


def _as_digits(numeral: str) -> str:
    # 千万 or 百 without a digit is a word rather than a number.
    if not set(numeral) & set("零〇一二三四五六七八九两十"):
        return numeral
    return str(read_number(numeral))
