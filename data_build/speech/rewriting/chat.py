"""The rewriter that asks a chat model; same result type as the rules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from data_build.chat.client import ChatClient
from data_build.chat.prompts import read_prompt
from data_build.speech.rewrite import Rewritten, RuleRewriter, code_omitted
from data_build.speech.rewriting.rules import Change

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


class ChatRewriter:
    """Asks only where the rules find something to change, and checks the answer with them.

    So a clean sentence stays as it is whatever the model would say, costs no call, and mark-up
    that the model left in does not reach the engine.
    """

    def __init__(self, client: ChatClient) -> None:
        self._client = client
        self._prompt = read_prompt(_PROMPT)
        self._rules = RuleRewriter()

    @property
    def id(self) -> str:
        return f"chat-{self._client.config.model}-{self._prompt.sha256[:8]}-{self._rules.id}"

    def rewrite(self, text: str, language: str) -> Rewritten:
        """Raises:
        CallFailure: if the model gives no usable answer.
        """
        if not self._rules.rewrite(text, language).changes:
            return Rewritten(text, ())
        variables = {"text": text, "language": language, "code_omitted": code_omitted(language)}
        answer = self._client.ask_json(self._prompt, variables, _SCHEMA)
        named = tuple(Change(**change) for change in answer["changes"])
        if answer["text"] != text and not named:
            named = (Change("unnamed", text, answer["text"]),)
        swept = self._rules.rewrite(answer["text"], language)
        return Rewritten(swept.text, named + swept.changes)
