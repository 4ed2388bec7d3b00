"""History review: a late question that can only be answered from memory.

::

    round 0    "my sister Clara is coming"     the answer lies here
    round 1-4  other things                    at least three rounds lie between
    round 5    "What is the name of my sister?"  ─▶  "Your sister is called Clara."
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from data_build.drops import Drop, Dropped, unanswered
from data_build.labelling.facts import Fact, facts
from data_build.records import Dialogue, DialogueTurn
from data_build.wording.wording import StreamWords, english_name
from soundflow.endpoints.chat import ChatClient, ChatRequest
from soundflow.endpoints.http_calls import CallFailure
from soundflow.endpoints.prompts import read_prompt

STEP = "history_review"
ROUNDS_BETWEEN = 3
LATE_SHARE = 2 / 3  # a probe is asked in the last third of a dialogue
_RANK = ("name", "number", "choice", "time", "place", "thing", "topic")
_ENTITIES = frozenset({"name", "number", "choice", "time", "place"})

_SCAFFOLDING = re.compile(
    r"\b(?:as (?:i|you|we) (?:said|mentioned|told)|earlier|previously|before|remember|recall|"
    r"(?:i|you|we) (?:just )?(?:said|mentioned|told)|a moment ago|just now|again)\b"
    r"|刚才|刚刚|之前|前面|还记得|记得|说过|提到|提过",
    re.IGNORECASE,
)
_PERSONAL = re.compile(r"\b(?:i|i'm|my|me|mine|we|our|us)\b|我|咱", re.IGNORECASE)


PROMPT = Path(__file__).parent / "prompts" / "history_probe.v1.md"

_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "found": {"type": "boolean"},
        "source_round": {"type": "integer", "minimum": 0},
        "kind": {"enum": ["name", "number", "choice", "time", "place", "thing"]},
        "value": {"type": "string", "maxLength": 80},
        "question": {"type": "string", "maxLength": 200},
        "answer": {"type": "string", "maxLength": 200},
    },
    "required": ["found"],
    "if": {"properties": {"found": {"const": True}}},
    "then": {"required": ["source_round", "kind", "value", "question", "answer"]},
}


@dataclass(frozen=True)
class Probe:
    """A question to be asked as round ``at`` about something said in round ``source_round``.

    ``value`` is the part of the answer that has to be remembered. ``made_by`` goes into the
    provenance: the rules, or the stamp of the prompt.
    """

    at: int
    source_round: int
    kind: str
    value: str
    question: str
    answer: str
    made_by: dict[str, Any] = field(default_factory=lambda: {"name": "rules", "version": 1})


def problem(dialogue: Dialogue, probe: Probe) -> str | None:
    """Why a probe is not a valid test of memory, or None if it is."""
    rounds = [f"{turn.user}\n{turn.assistant}" for turn in dialogue.turns]
    if not 0 <= probe.source_round < len(rounds):
        return "points at a round that does not exist"
    if not probe.source_round + ROUNDS_BETWEEN <= probe.at <= len(rounds):
        return "fewer than three rounds since the answer"
    if probe.at < earliest_late(len(rounds)):
        return "asked too early"
    if not _holds(rounds[probe.source_round], probe.value):
        return "the round does not hold the answer"
    if not _holds(probe.answer, probe.value):
        return "the answer lacks the value"
    if _holds(probe.question, probe.value):
        return "the question gives the answer away"
    if any(_holds(text, probe.value) for text in rounds[probe.at - ROUNDS_BETWEEN + 1 : probe.at]):
        return "the answer was repeated within three rounds"
    if _SCAFFOLDING.search(probe.question):
        return "the question points back at the conversation"
    if not _PERSONAL.search(probe.question):
        return "the question could be common knowledge"
    return None


def earliest_late(n_rounds: int) -> int:
    return math.ceil(LATE_SHARE * n_rounds)


def rule_probe(dialogue: Dialogue, rng: np.random.Generator, words: StreamWords) -> Probe:
    """A probe made by rules: an entity if there is one, at a random late place.

    Args:
        words: in which the question is asked and answered.

    Raises:
        Dropped: if the dialogue has nothing to ask about.
    """
    n = len(dialogue.turns)
    fair: list[Probe] = []
    for fact in facts(dialogue):
        question, answer = _in_words(fact, words)
        for at in range(max(fact.round + ROUNDS_BETWEEN, earliest_late(n)), n + 1):
            probe = Probe(at, fact.round, fact.kind, fact.value, question, answer)
            if problem(dialogue, probe) is None:
                fair.append(probe)
    if not fair:
        raise _unfit(dialogue.id, "nothing personal was said three rounds before the end")
    best = min(_tier(p.kind) for p in fair)
    about = sorted({(p.source_round, p.question) for p in fair if _tier(p.kind) == best})
    chosen = about[int(rng.integers(len(about)))]
    places = [p for p in fair if (p.source_round, p.question) == chosen]
    return places[int(rng.integers(len(places)))]


def model_probe(dialogue: Dialogue, client: ChatClient, rng: np.random.Generator) -> Probe:
    """A probe that a chat model writes, held to the same rules as ours.

    Its place is drawn, so the same answer gives the same probe.

    Raises:
        Dropped: if the model finds nothing to ask about, or its question breaks the rules.
    """
    (answer,) = client.map_json([_request(dialogue)])
    if isinstance(answer, CallFailure):
        raise Dropped(unanswered(answer, STEP, dialogue.id))
    if not answer["found"]:
        raise _unfit(dialogue.id, "the model found nothing to ask about")
    n = len(dialogue.turns)
    earliest = max(answer["source_round"] + ROUNDS_BETWEEN, earliest_late(n))
    probe = Probe(
        at=int(rng.integers(earliest, max(earliest, n) + 1)),
        source_round=answer["source_round"],
        kind=answer["kind"],
        value=answer["value"].strip(),
        question=answer["question"].strip(),
        answer=answer["answer"].strip(),
        made_by=read_prompt(PROMPT).stamp(),
    )
    wrong = problem(dialogue, probe) if probe.value else "no value"
    if wrong:
        raise _unfit(dialogue.id, f"unfair probe: {wrong}")
    return probe


def _in_words(fact: Fact, words: StreamWords) -> tuple[str, str]:
    """A question about a fact, and the answer."""
    return (
        words.text(f"<recall.{fact.name}.ask>", fact.round, **fact.slots),
        words.text(f"<recall.{fact.name}.answer>", fact.round, **fact.yours),
    )


def _request(dialogue: Dialogue) -> ChatRequest:
    variables = {
        "turns": dialogue.turns,
        "language": english_name(dialogue.language),
        "last_source_round": max(0, len(dialogue.turns) - ROUNDS_BETWEEN),
    }
    return ChatRequest(read_prompt(PROMPT), variables, _SCHEMA)


def insert(dialogue: Dialogue, probe: Probe) -> Dialogue:
    """The dialogue with the probe as round ``probe.at``; what followed moves back by one."""
    turn = DialogueTurn(probe.question, probe.answer)
    turns = (*dialogue.turns[: probe.at], turn, *dialogue.turns[probe.at :])
    return replace(dialogue, turns=turns)


def _unfit(item: str, reason: str) -> Dropped:
    return Dropped(Drop(STEP, item, reason, "choice"))


def _tier(kind: str) -> int:
    return 0 if kind in _ENTITIES else _RANK.index(kind)


def _holds(text: str, value: str) -> bool:
    """Whether ``text`` contains ``value`` as whole words, in any case."""
    pattern = re.escape(value.strip().lower())
    if value.isascii():
        pattern = rf"(?<!\w){pattern}(?!\w)"
    return bool(re.search(pattern, text.lower()))
