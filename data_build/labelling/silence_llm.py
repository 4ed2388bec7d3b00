"""The intervention policy asked of a chat model, instead of the table."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from data_build.chat.client import Answer, ChatClient, ChatRequest
from data_build.chat.prompts import read_prompt
from data_build.drops import Drop
from data_build.http_calls import CallFailure
from data_build.labelling.silence_policy import STEP, Judgement
from data_build.records import Clip, PlannedReply
from soundflow.protocol.tokens import EMOTIONS

Report = Callable[[Drop], None]
PROMPT = Path(__file__).parent / "prompts" / "intervention.v1.md"
_LANGUAGES = {"en": "English", "zh": "Mandarin Chinese"}

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "verdict": {"enum": ["respond", "borderline", "silent"]},
        "reason": {"type": "string", "maxLength": 300},
        "category": {"enum": ["distress", "hazard", "damage", "safety"]},
        "reply": {"type": "string", "minLength": 1, "maxLength": 160},
        "emotion": {"enum": list(EMOTIONS)},
    },
    "required": ["verdict", "reason"],
    "if": {"properties": {"verdict": {"const": "respond"}}},
    "then": {"required": ["category", "reply", "emotion"]},
}


def model_judgements(
    clips: Iterable[Clip], client: ChatClient, report: Report, language: str = "en"
) -> Iterator[tuple[Clip, Judgement]]:
    """Every clip with the model's judgement, in their order; many are asked about at once.

    Speech, and clips that nothing is known about, are dropped without asking.

    Args:
        report: gets a drop for every clip that is left out.
    """
    waiting: deque[Clip] = deque()

    def requests() -> Iterator[ChatRequest]:
        for clip in clips:
            if clip.kind == "speech":
                report(Drop(STEP, clip.id, "the policy does not cover speech", "choice"))
            elif not clip.labels and not clip.caption:
                report(Drop(STEP, clip.id, "neither label nor caption", "choice"))
            else:
                waiting.append(clip)
                yield _request(clip, language)

    for answer in client.map_json(requests()):
        clip = waiting.popleft()
        if isinstance(answer, CallFailure):
            report(answer.drop(STEP, clip.id))
        elif answer["verdict"] == "borderline":
            # The model's reasons are all different; together they are one.
            report(Drop(STEP, f"{clip.id}: {answer['reason']}", "borderline", "choice"))
        else:
            yield clip, _judgement(answer)


def _request(clip: Clip, language: str) -> ChatRequest:
    variables = {
        "labels": clip.labels,
        "caption": clip.caption,
        "duration_s": clip.duration_s,
        "language": _LANGUAGES.get(language, language),
    }
    return ChatRequest(read_prompt(PROMPT), variables, SCHEMA)


def _judgement(answer: Answer) -> Judgement:
    stamp = read_prompt(PROMPT).stamp()
    if answer["verdict"] == "silent":
        return Judgement(None, None, (answer["reason"],), stamp)
    reply = PlannedReply(answer["reply"].strip(), answer["emotion"])
    return Judgement(answer["category"], reply, (answer["reason"],), stamp)
