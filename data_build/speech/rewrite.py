"""Written text to text that can be spoken, with every change named.

::

    "It's **5°C** 🙂, see [here](https://...)"
        ─▶ "It's five degrees Celsius, see here"
           emphasis, unit, emoji, link

A sentence that is already fit to be spoken comes back as it was, with no changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from data_build.speech.rewriting.english import english_rules
from data_build.speech.rewriting.european import LANGUAGES as EUROPEAN
from data_build.speech.rewriting.european import european_rules
from data_build.speech.rewriting.mandarin import mandarin_rules
from data_build.speech.rewriting.markup import markup_rules, spacing_rules
from data_build.speech.rewriting.rules import Change, Rule, apply_rules

VERSION = 1  # raise when a rule changes what it makes of a text

# What is said for long code, for a displayed formula, and at the end of a line without a mark.
_OMITTED = {
    "zh": ("代码略", "公式略", "。"),
    "de": ("Code ausgelassen", "Formel ausgelassen", "."),
    "fr": ("code omis", "formule omise", "."),
    "es": ("código omitido", "fórmula omitida", "."),
    "it": ("codice omesso", "formula omessa", "."),
}


@dataclass(frozen=True)
class Rewritten:
    """``text`` to speak (empty where nothing speakable is left) and how it came about."""

    text: str
    changes: tuple[Change, ...]

    @property
    def rules(self) -> tuple[str, ...]:
        """The names of what was changed, in order, once each."""
        return tuple(dict.fromkeys(change.rule for change in self.changes))


class Rewriter(Protocol):
    """Makes a written text fit to be spoken."""

    @property
    def id(self) -> str: ...

    def rewrite(self, text: str, language: str) -> Rewritten:
        """Raises:
        CallFailure: if the rewriter is a server and does not answer.
        """


class RuleRewriter:
    """The embedded rewriter: rules for English, Mandarin, German, French, Spanish and Italian.

    Other languages lose their mark-up; numbers and symbols stay for the engine to read.
    """

    id = f"rules-v{VERSION}"

    def rewrite(self, text: str, language: str) -> Rewritten:
        said, changes = apply_rules(text, _rules(language.split("-")[0].lower()))
        return Rewritten(said, changes)


def strip_markup(text: str, language: str) -> Rewritten:
    """Only what is never spoken goes (Markdown, URLs, code, emoji); numbers and symbols stay.

    For replies: they are read, but as a transcript of speech.
    """
    code, formula, stop = _omitted(language)
    said, changes = apply_rules(text, [*markup_rules(code, formula, stop), *spacing_rules()])
    return Rewritten(said, changes)


def code_omitted(language: str) -> str:
    """What is said in place of long code."""
    return _omitted(language)[0]


def _omitted(language: str) -> tuple[str, str, str]:
    return _OMITTED.get(language.split("-")[0].lower(), ("code omitted", "formula omitted", "."))


@lru_cache(maxsize=16)
def _rules(code: str) -> tuple[Rule, ...]:
    spoken: list[Rule] = []
    if code == "en":
        spoken = english_rules()
    elif code == "zh":
        spoken = mandarin_rules()
    elif code in EUROPEAN:
        spoken = european_rules(code)
    return (*markup_rules(*_omitted(code)), *spoken, *spacing_rules())
