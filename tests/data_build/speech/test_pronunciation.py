"""Words become phones: by the dictionary, or by the letters of their language."""

from __future__ import annotations

import pytest

from data_build.speech.aligners.phones import _PHONES
from data_build.speech.pronunciation import (
    LANGUAGES,
    _letters,
    guessed_phones,
    phones_of,
    spoken_words,
)


def test_letters_become_phones() -> None:
    assert guessed_phones("shake") == ["SH", "AE", "K"]
    assert guessed_phones("o'quight") == ["AA", "K", "W", "AY", "T"]
    assert guessed_phones("qzx") == ["K", "Z", "K", "S"]


@pytest.mark.parametrize(
    ("language", "word", "phones"),
    [
        ("de", "Schwester", "SH V EH S T EH R"),
        ("fr", "jouaient", "ZH UW EH"),
        ("fr", "eau", "OW"),
        ("es", "niño", "N IY N Y OW"),
        ("it", "giardino", "JH AA R D IY N OW"),
        ("it", "scienza", "SH IY EH N T S AA"),
        ("zh", "xian", "SH Y EH N"),
    ],
)
def test_words_of_other_languages_become_the_nearest_phones(
    language: str, word: str, phones: str
) -> None:
    assert guessed_phones(word, language) == phones.split()


@pytest.mark.parametrize("language", sorted(LANGUAGES))
def test_every_letter_of_a_language_has_a_phone_that_is_known(language: str) -> None:
    table = _letters(language)
    assert {phone for phones in table.values() for phone in phones} <= set(_PHONES)
    letters = "abcdefgijklmnopqrstuvwxyz" if language != "zh" else "aeo"
    for letter in letters:
        assert guessed_phones(letter, language), letter


def test_a_written_word_is_said_in_its_language() -> None:
    pytest.importorskip("pocketsphinx")
    assert spoken_words("$5", "en") == ["five", "dollars"]
    assert spoken_words("(PBX)", "en") == ["p", "b", "x"]
    dots = ["w", "w", "w", "dot", "asterisk", "dot", "org"]
    assert spoken_words("www.asterisk.org.", "en") == dots
    assert spoken_words("12", "de") == ["zwölf"]
    assert phones_of("l'eau,", "fr") == ["L", "OW"]
    assert phones_of("bowl", "en") == ["B", "OW", "L"]
    assert phones_of("...", "it") == []
    assert phones_of("是", "zh") == ["SH", "ER"]
