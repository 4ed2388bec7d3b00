"""History-review probes written by a chat model, held to the same rules as ours."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from data_build.chat.client import Answer, ChatClient, ChatRequest
from data_build.chat.prompts import read_prompt
from data_build.drops import Drop
from data_build.http_calls import CallFailure
from data_build.labelling.history import ROUNDS_BETWEEN, STEP, Probe, earliest_late, problem
from data_build.randomness import generator
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


def model_probes(
    dialogues: Iterable[Dialogue], client: ChatClient, seed: int
) -> Iterator[Probe | Drop]:
    """One probe or the reason why not for every dialogue, in their order.

    Many questions are under way at once; the place of a probe is drawn from the seed and the
    dialogue, so that the same answers give the same probes.
    """
    waiting: deque[Dialogue] = deque()

    def requests() -> Iterator[ChatRequest]:
        for dialogue in dialogues:
            waiting.append(dialogue)
            yield _request(dialogue)

    for answer in client.map_json(requests()):
        dialogue = waiting.popleft()
        if isinstance(answer, CallFailure):
            yield answer.drop(STEP, dialogue.id)
        else:
            yield _probe(dialogue, answer, seed)


def _request(dialogue: Dialogue) -> ChatRequest:
    variables = {
        "turns": dialogue.turns,
        "language": _LANGUAGES.get(dialogue.language, dialogue.language),
        "last_source_round": max(0, len(dialogue.turns) - ROUNDS_BETWEEN),
    }
    return ChatRequest(read_prompt(PROMPT), variables, SCHEMA)


def _probe(dialogue: Dialogue, answer: Answer, seed: int) -> Probe | Drop:
    if not answer["found"]:
        return Drop(STEP, dialogue.id, "the model found nothing to ask about", "choice")
    n = len(dialogue.turns)
    earliest = max(answer["source_round"] + ROUNDS_BETWEEN, earliest_late(n))
    latest = max(earliest, n)
    probe = Probe(
        at=int(generator(seed, STEP, dialogue.id).integers(earliest, latest + 1)),
        source_round=answer["source_round"],
        kind=answer["kind"],
        value=answer["value"].strip(),
        question=answer["question"].strip(),
        answer=answer["answer"].strip(),
        made_by=read_prompt(PROMPT).stamp(),
    )
    wrong = problem(dialogue, probe) if probe.value else "no value"
    return Drop(STEP, dialogue.id, f"unfair probe: {wrong}", "choice") if wrong else probe
