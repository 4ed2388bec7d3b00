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
from pathlib import Path
from typing import Any, Protocol

from data_build.speech.rewriting.english import english_rules
from data_build.speech.rewriting.european import LANGUAGES as EUROPEAN
from data_build.speech.rewriting.european import european_rules
from data_build.speech.rewriting.mandarin import mandarin_rules
from data_build.speech.rewriting.rules import Change, Rule, apply_rules, markup_rules, spacing_rules
from soundflow.endpoints.chat import ChatClient
from soundflow.endpoints.prompts import read_prompt
from soundflow.text.normalize import primary_language

VERSION = 1  # raise when a rule changes what it makes of a text

# What is said for long code, for a displayed formula, and at the end of a line without a mark.
_OMITTED = {
    "zh": ("代码略", "公式略", "。"),
    "de": ("Code ausgelassen", "Formel ausgelassen", "."),
    "fr": ("code omis", "formule omise", "."),
    "es": ("código omitido", "fórmula omitida", "."),
    "it": ("codice omesso", "formula omessa", "."),
}

_PROMPT = Path(__file__).parent / "rewrite_spoken.v1.md"
_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "text": {"type": "string"},
        "changes": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "rule": {"type": "string", "minLength": 1},
                    "before": {"type": "string"},
                    "after": {"type": "string"},
                },
                "required": ["rule", "before", "after"],
                "additionalProperties": False,
            },
        },
    },
    "required": ["text", "changes"],
    "additionalProperties": False,
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
        """The text to speak.

        Raises:
            CallFailure: if the rewriter is a server and gives no usable answer.
            ServerGone: if it is a server that has stopped responding.
        """


class RuleRewriter:
    """The embedded rewriter: rules for English, Mandarin, German, French, Spanish and Italian.

    Other languages lose their mark-up; numbers and symbols stay for the engine to read.
    """

    id = f"rules-v{VERSION}"

    def rewrite(self, text: str, language: str) -> Rewritten:
        said, changes = apply_rules(text, _rules(primary_language(language)))
        return Rewritten(said, changes)


class ChatRewriter:
    """Asks only where the rules find something to change, and checks the answer with them.

    So a clean sentence stays as it is and needs no call, and mark-up that the model left in does
    not reach the engine.
    """

    def __init__(self, client: ChatClient) -> None:
        self._client = client
        self._prompt = read_prompt(_PROMPT)
        self._rules = RuleRewriter()

    @property
    def id(self) -> str:
        return f"chat-{self._client.config.model}-{self._prompt.sha256[:8]}-{self._rules.id}"

    def rewrite(self, text: str, language: str) -> Rewritten:
        if not self._rules.rewrite(text, language).changes:
            return Rewritten(text, ())
        variables = {"text": text, "language": language, "code_omitted": _omitted(language)[0]}
        answer = self._client.ask_json(self._prompt, variables, _SCHEMA)
        named = tuple(Change(**change) for change in answer["changes"])
        if answer["text"] != text and not named:
            named = (Change("unnamed", text, answer["text"]),)
        swept = self._rules.rewrite(answer["text"], language)
        return Rewritten(swept.text, named + swept.changes)


def strip_markup(text: str, language: str) -> Rewritten:
    """Removes only what is never spoken (Markdown, URLs, code, emoji).

    For replies: they are text, but read like a transcript of speech.
    """
    code, formula, stop = _omitted(language)
    said, changes = apply_rules(text, [*markup_rules(code, formula, stop), *spacing_rules()])
    return Rewritten(said, changes)


def _omitted(language: str) -> tuple[str, str, str]:
    return _OMITTED.get(primary_language(language), ("code omitted", "formula omitted", "."))


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
