"""How words sound, in the phones of English (ARPABET).

English words by the dictionary inside `pocketsphinx` (CMUdict, 134 000 words). What it lacks, and
German, French, Spanish and Italian, by a table of letters, and Mandarin by one of pinyin: each
stands for the nearest phones of English, which is enough to find a known word in its sound.
"""

from __future__ import annotations

import csv
import re
import unicodedata
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from importlib.util import find_spec
from pathlib import Path

from data_build.speech.rewriting.rewriter import RuleRewriter
from soundflow.errors import not_installed

DICTIONARY = "model/en-us/cmudict-en-us.dict"
LETTERS = Path(__file__).parent / "letters"
LANGUAGES = frozenset(path.stem for path in LETTERS.glob("*.tsv"))


def phones(words: Sequence[str]) -> list[str] | None:
    """The phones of English ``words`` in a row; None if a word is unknown, or the dictionary not
    installed.

    The first pronunciation of each word is taken.
    """
    known = _dictionary()
    if not all(word in known for word in words):
        return None
    return [phone for word in words for phone in known[word].split()]


def rare_words(words: Sequence[str]) -> list[str]:
    """Those of English ``words`` that the dictionary lacks; none if it is not installed."""
    known = _dictionary()
    return [word for word in words if known and word not in known]


def phones_of(unit: str, language: str) -> list[str]:
    """The phones of a written word of one of `LANGUAGES`; none of what nobody can say."""
    return [
        phone
        for word in spoken_words(unit, language)
        for phone in (language == "en" and phones([word])) or guessed_phones(word, language)
    ]


def spoken_words(unit: str, language: str) -> list[str]:
    """The words that a written one is spoken as: "$5" is "five dollars", "PBX" "p b x".

    Mandarin ones as pinyin. English ones are spelt as in the dictionary, if it has them.
    """
    if language == "zh":
        return _pinyin(_rewriter().rewrite(unit, language).text)
    if language != "en":
        return re.findall(r"[^\W\d_]+", _rewriter().rewrite(unit, language).text.lower())
    plain = unicodedata.normalize("NFKD", unit.replace("’", "'")).encode("ascii", "ignore").decode()
    if not re.fullmatch(r"[^\w']*[A-Za-z'-]+[^\w']*", plain):
        rewritten = _rewriter().rewrite(plain, "en").text
        # What is left out of texts to be spoken, as an address, somebody has said all the same.
        left_out = not any(c.isalnum() for c in rewritten)
        plain = re.sub(r"\.(?=\w)", " dot ", plain) if left_out else rewritten
    known = _dictionary()
    words: list[str] = []
    for word in re.findall(r"[a-z][a-z']*|'[a-z]+", plain.lower()):
        if word not in known and word.strip("'"):
            word = word.strip("'")
        if word in known or re.search("[aeiouy]", word):
            words.append(word)
        else:  # an abbreviation
            words += [letter for letter in word if letter.isalpha()]
    return words


def _pinyin(text: str) -> list[str]:
    """Its syllables without tones.

    Raises:
        UserError: if `pypinyin` is not installed.
    """
    try:
        from pypinyin import lazy_pinyin
    except ImportError as error:
        raise not_installed(f"the package pypinyin ({error})", "asr") from error
    return [syllable for syllable in lazy_pinyin(text) if any(c.isalpha() for c in syllable)]


def guessed_phones(word: str, language: str = "en") -> list[str]:
    """The phones of a word by its letters alone."""
    letters = "".join(c for c in word.lower() if c.isalpha())
    # Of "es" every letter is silent at the end of a word: it is said all the same.
    return _matched(f"{letters}$", _letters(language)) or _matched(letters, _letters(language))


def _matched(letters: str, table: Mapping[str, list[str]]) -> list[str]:
    """The longest matches one after another; letters that the table lacks say nothing."""
    longest = max(map(len, table))
    phones, at = list[str](), 0
    while at < len(letters):
        size = next((n for n in range(longest, 0, -1) if letters[at : at + n] in table), 0)
        phones += table[letters[at : at + size]] if size else []
        at += max(size, 1)
    return phones


@lru_cache(maxsize=1)
def _rewriter() -> RuleRewriter:
    return RuleRewriter()


@cache
def _letters(language: str) -> Mapping[str, list[str]]:
    table = (LETTERS / f"{language}.tsv").read_text("utf-8").splitlines()
    lines = (line for line in table if not line.startswith("#"))
    return {row["letters"]: row["phones"].split() for row in csv.DictReader(lines, delimiter="\t")}


@lru_cache(maxsize=1)
def _dictionary() -> dict[str, str]:
    package = find_spec("pocketsphinx")
    if package is None or package.origin is None:
        return {}
    lines = (Path(package.origin).parent / DICTIONARY).read_text("utf-8").splitlines()
    # Further pronunciations are entries of their own, named "word(2)".
    return {word: said for word, _, said in (line.partition(" ") for line in lines)}
