"""German, French, Spanish and Italian: numbers, per cent and the commonest symbols as words."""

from __future__ import annotations

import re

from num2words import num2words

from data_build.speech.rewriting.rules import Rule, apart, rule

_WORDS = {
    "de": {"%": "Prozent", "&": "und", "+": "plus", "=": "gleich", "€": "Euro", "$": "Dollar",
           "@": "at", "°": "Grad", ",": "Komma", "-": "minus"},
    "fr": {"%": "pour cent", "&": "et", "+": "plus", "=": "égale", "€": "euros", "$": "dollars",
           "@": "arobase", "°": "degrés", ",": "virgule", "-": "moins"},
    "es": {"%": "por ciento", "&": "y", "+": "más", "=": "igual a", "€": "euros", "$": "dólares",
           "@": "arroba", "°": "grados", ",": "coma", "-": "menos"},
    "it": {"%": "per cento", "&": "e", "+": "più", "=": "uguale a", "€": "euro", "$": "dollari",
           "@": "chiocciola", "°": "gradi", ",": "virgola", "-": "meno"},
}  # fmt: skip
LANGUAGES = frozenset(_WORDS)
_NUMBER = r"(?:\d{1,3}(?:[.\u202f]\d{3})+|\d+)(?:,\d+)?"


def european_rules(language: str) -> list[Rule]:
    """The rules of one of `LANGUAGES`: a comma before decimals, a point between thousands."""
    said = _WORDS[language]

    def number(found: re.Match[str]) -> str:
        return apart(found, _say(found[0], language))

    return [
        rule("currency", rf"(?P<sign>[€$])\s?(?P<n>{_NUMBER})", r"\g<n> \g<sign>"),
        rule("time", r"(?<![\d:])([01]?\d|2[0-4]):([0-5]\d)(?![\d:])", _time(language)),
        rule("negative", rf"(?<![\w.)])[-−](?={_NUMBER})", f"{said['-']} "),
        rule("letters and digits", r"(?<=[^\W\d_])-?(?=\d)|(?<=\d)-?(?=[^\W\d_])", " "),
        rule("number", _NUMBER, number),
        rule("mark", r"[™®©†•·|\\{}\[\]^`*_#<>~/]+", " "),
        rule("symbol", "[%&+=€$@°]", lambda f: apart(f, said[f[0]])),
    ]


def _say(number: str, language: str) -> str:
    whole, _, part = re.sub(r"[.\u202f]", "", number).partition(",")
    if len(whole) > 15 or (len(whole) > 1 and whole.startswith("0")):
        text = _digits(whole, language)
    else:
        text = str(num2words(int(whole), lang=language))
    return f"{text} {_WORDS[language][',']} {_digits(part, language)}" if part else text


def _digits(text: str, language: str) -> str:
    return " ".join(str(num2words(int(d), lang=language)) for d in text)


def _time(language: str) -> str:
    between = {"de": "Uhr", "fr": "heures", "es": "y", "it": "e"}[language]
    return rf"\1 {between} \2"
