"""Chat records of any corpus to `Dialogue`: alternating turns of user and assistant."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from data_build.records import Dialogue, DialogueTurn, Origin
from data_build.sources.rows import Row, encodable
from data_build.sources.source import BadRow

_USER = frozenset(("user", "human", "prompter", "question"))
_ASSISTANT = frozenset(("assistant", "gpt", "bot", "chatgpt", "moss", "model", "answer"))
_HAN = re.compile(r"[㐀-鿿]")
_LETTER = re.compile(r"[^\W\d_]")


def dialogue(name: str, messages: Sequence[tuple[str, str]], origin: Origin) -> Dialogue:
    """A dialogue from (role, text) pairs.

    System messages are left out, and so is a last question without an answer.

    Raises:
        BadRow: if the roles do not alternate from the user on, one is unknown, or a text is empty.
    """
    said: list[str] = []
    for role, text in messages:
        who = role.strip().lower()
        if who == "system":
            continue
        wanted = _ASSISTANT if len(said) % 2 else _USER
        if who not in wanted:
            raise BadRow(
                "its roles do not alternate",
                f"message {len(said)} is by {role!r}, not {min(wanted)!r}",
            )
        said.append(encodable(text.strip(), "message"))
    turns = tuple(
        DialogueTurn(user, assistant)
        for user, assistant in zip(said[0::2], said[1::2], strict=False)
    )
    if not turns:
        raise BadRow("holds no answered question")
    if not all(turn.user and turn.assistant for turn in turns):
        raise BadRow("holds an empty message")
    return Dialogue(name, turns, origin, language_of(" ".join(t.user for t in turns)))


def messages_of(row: Row, key: str, role: str, text: str) -> list[tuple[str, str]]:
    """(role, text) pairs from a list of records under ``key``.

    Raises:
        BadRow: if a record has another form.
    """
    return [(child.text(role), child.text(text)) for child in row.children(key)]


def alternating(texts: object) -> list[tuple[str, str]]:
    """A plain list of texts, the user's first.

    Raises:
        BadRow: if it is not that.
    """
    if not isinstance(texts, list) or not all(isinstance(t, str) for t in texts):
        raise BadRow("data is not a list of texts")
    return [("assistant" if i % 2 else "user", text) for i, text in enumerate(texts)]


def field_text(record: Mapping[str, object], key: str) -> str:
    value = record.get(key)
    if not isinstance(value, str):
        raise BadRow(f"{key} is missing or not text")
    return value


def language_of(text: str) -> str:
    """ "zh" where at least three in ten letters are Han characters, else "en"."""
    letters = len(_LETTER.findall(text))
    return "zh" if letters and len(_HAN.findall(text)) >= 0.3 * letters else "en"
