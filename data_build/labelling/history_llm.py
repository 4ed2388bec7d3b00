"""History-review probes written by a chat model, held to the same rules as ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from data_build.chat.client import ChatClient, ChatRequest
from data_build.chat.prompts import read_prompt
from data_build.drops import Drop, Dropped
from data_build.http_calls import CallFailure
from data_build.labelling.history import ROUNDS_BETWEEN, STEP, Probe, earliest_late, problem
from data_build.records import Dialogue

PROMPT = Path(__file__).parent / "prompts" / "history_probe.v1.md"
_LANGUAGES = {"en": "English", "zh": "Mandarin Chinese"}

SCHEMA: dict[str, Any] = {
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


def model_probe(dialogue: Dialogue, client: ChatClient, rng: np.random.Generator) -> Probe:
    """A probe that the model writes; its place is drawn, so the same answer gives the same probe.

    Raises:
        Dropped: if the model finds nothing to ask about, or its question is not fair.
    """
    (answer,) = client.map_json([_request(dialogue)])
    if isinstance(answer, CallFailure):
        raise Dropped(answer.drop(STEP, dialogue.id))
    if not answer["found"]:
        raise _unfit(dialogue, "the model found nothing to ask about")
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
        raise _unfit(dialogue, f"unfair probe: {wrong}")
    return probe


def _unfit(dialogue: Dialogue, reason: str) -> Dropped:
    return Dropped(Drop(STEP, dialogue.id, reason, "choice"))


def _request(dialogue: Dialogue) -> ChatRequest:
    variables = {
        "turns": dialogue.turns,
        "language": _LANGUAGES.get(dialogue.language, dialogue.language),
        "last_source_round": max(0, len(dialogue.turns) - ROUNDS_BETWEEN),
    }
    return ChatRequest(read_prompt(PROMPT), variables, SCHEMA)
