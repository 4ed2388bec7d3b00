"""Further wordings by a chat model: asked once a build, checked, kept with its tables.

::

    rule ─▶ a few of its texts, slots in braces ─▶ chat model ─▶ same slots? ─▶ paraphrases.json
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from data_build.drops import Drop, Report, unanswered
from data_build.randomness import digest
from data_build.wording.files import Language
from data_build.wording.grammar import (
    GrammarFault,
    Rules,
    Unavailable,
    Words,
    choice,
    parse,
    slot_names,
)
from data_build.wording.grammar import expand as expanded
from data_build.wording.wording import Wording, seeded
from soundflow.atomic import write_text
from soundflow.endpoints.chat import ChatClient, ChatRequest
from soundflow.endpoints.http_calls import CallFailure
from soundflow.endpoints.prompts import read_prompt
from soundflow.errors import UserError
from soundflow.stored_json import parsed

STEP = "paraphrase"
PROMPT = Path(__file__).parent / "prompts" / "paraphrase.v1.md"
FILE = "paraphrases.json"
COUNT, _SHOWN, _LONGEST = 20, 6, 240
# Of each rule, wordings of these parts are said as they are; others are parts of sentences.
_SAID = (".written", ".spoken", ".reply", ".found")
_SAID_WHOLE = ("ask.", "answer.", "warn.", "recall.")
_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"texts": {"type": "array", "items": {"type": "string", "maxLength": _LONGEST}}},
    "required": ["texts"],
}
Paraphrases = Mapping[str, Mapping[str, list[str]]]  # language -> rule -> lines


def keep_paraphrases(folder: Path, wording: Wording, client: ChatClient, report: Report) -> None:
    """Asks for paraphrases and keeps them in ``folder``, unless an earlier run of the build did.

    A rule that the model refused stays without any: if a later run asked again, everything that
    is said, and so every shard, would change.

    Args:
        report: gets a drop for every rule that the model gives no answer for, in every run.
    """
    question = digest(wording.key, read_prompt(PROMPT).stamp(), client.config.model,
                      client.config.temperature, client.config.seed)  # fmt: skip
    kept = _kept(folder)
    if kept is None or kept["question"] != question:
        drops: list[Drop] = []
        lines = ask_for_paraphrases(wording, client, drops.append)
        kept = {"question": question, "lines": lines, "drops": [asdict(drop) for drop in drops]}
        write_text(folder / FILE, json.dumps(kept, ensure_ascii=False, sort_keys=True))
    for drop in kept["drops"]:
        report(Drop(**drop))


def read_paraphrases(folder: Path) -> Paraphrases:
    """What `keep_paraphrases` kept."""
    kept = _kept(folder)
    if kept is None:
        raise UserError(f"{folder / FILE}: missing or damaged", "run the same build again")
    return dict(kept["lines"])


def _kept(folder: Path) -> dict[str, Any] | None:
    """The content of the file, None if there is none that is whole."""
    try:
        kept = parsed((folder / FILE).read_bytes())
    except (OSError, ValueError):
        return None
    whole = isinstance(kept, dict) and kept.keys() == {"question", "lines", "drops"}
    return kept if whole else None


def ask_for_paraphrases(wording: Wording, client: ChatClient, report: Report) -> Paraphrases:
    """Lines for the rules of the languages that streams are in; those of no use are left out.

    Args:
        report: gets a drop for every rule that the model gives no answer for.
    """
    found: dict[str, dict[str, list[str]]] = {}
    for code in wording.weights:
        language = wording.languages[code]
        asked = dict(_texts(language))
        requests = (_request(language, rule, texts) for rule, texts in asked.items())
        for rule, answer in zip(asked, client.map_json(requests), strict=True):
            if isinstance(answer, CallFailure):
                report(unanswered(answer, STEP, f"{code}/{rule}"))
                continue
            lines = [text.strip() for text in answer["texts"] if _fits(text, asked[rule])]
            if lines:
                found.setdefault(code, {})[rule] = list(dict.fromkeys(lines))
    return found


def with_paraphrases(wording: Wording, paraphrases: Paraphrases) -> Wording:
    """The wording with the lines of a model among the alternatives of its rules."""
    for code, rules in paraphrases.items():
        wording = wording.adding(code, {rule: choice(lines) for rule, lines in rules.items()})
    return wording


def _texts(language: Language) -> Iterator[tuple[str, list[str]]]:
    """The rules that are said as they are, each with a few of its texts, slots in braces."""
    for rule in language.rules:
        if not rule.endswith(_SAID) and not rule.startswith(_SAID_WHOLE):
            continue
        line = parse(f"<{rule}>")
        slots = {
            name: Words(f"{{{name}}}", {form: f"{{{name}.{form}}}" for form in ("times", "the")})
            for name in slot_names(line, language.rules)
        }
        try:
            plain = expanded(line, language.rules, slots, None)
            more = [
                expanded(line, language.rules, slots, seeded(rule, number))
                for number in range(_SHOWN)
            ]
        except Unavailable:
            continue  # a rule that is named after a slot: there is no text without its value
        yield rule, list(dict.fromkeys((plain, *more)))


def _request(language: Language, rule: str, texts: list[str]) -> ChatRequest:
    name = language.language_names.get(language.code, language.code)
    variables = {"count": COUNT, "language": name, "rule": rule, "texts": texts}
    return ChatRequest(read_prompt(PROMPT), variables, _SCHEMA)


def _fits(text: str, texts: list[str]) -> bool:
    """Whether a wording has the slots of the plainest text, and nothing else of the grammar."""
    try:
        line = parse(text.strip())
    except GrammarFault:
        return False
    wanted = slot_names(parse(texts[0]), Rules({}))
    plain = not set("()[]<>|\\").intersection(text)
    return (
        bool(text.strip()) and plain and slot_names(line, Rules({})) == wanted and text not in texts
    )
