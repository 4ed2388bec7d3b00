"""The intervention policy asked of a chat model, instead of the table."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from data_build.chat.client import Answer, ChatClient, ChatRequest
from data_build.chat.prompts import read_prompt
from data_build.drops import Drop
from data_build.http_calls import CallFailure
from data_build.labelling.silence_policy import STEP, Judgement
from data_build.records import Clip, PlannedReply
from soundflow.protocol.tokens import EMOTIONS

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
    clips: Iterable[Clip], client: ChatClient, language: str = "en"
) -> Iterator[Judgement | Drop]:
    """A verdict or the reason why there is none for every clip, in their order.

    Speech, and clips that nothing is known about, are dropped without asking.
    """
    waiting: deque[Clip | Drop] = deque()

    def requests() -> Iterator[ChatRequest]:
        for clip in clips:
            refused = _refused(clip)
            waiting.append(refused or clip)
            if refused is None:
                yield _request(clip, language)

    for answer in client.map_json(requests()):
        while isinstance(waiting[0], Drop):
            yield waiting.popleft()  # type: ignore[misc]
        clip = waiting.popleft()
        assert isinstance(clip, Clip)
        if isinstance(answer, CallFailure):
            yield answer.drop(STEP, clip.id)
        else:
            yield _judgement(clip, answer)
    yield from (left for left in waiting if isinstance(left, Drop))


def _refused(clip: Clip) -> Drop | None:
    if clip.kind == "speech":
        return Drop(STEP, clip.id, "speech is not for this policy", "choice")
    if not clip.labels and not clip.caption:
        return Drop(STEP, clip.id, "neither label nor caption", "choice")
    return None


def _request(clip: Clip, language: str) -> ChatRequest:
    variables = {
        "labels": clip.labels,
        "caption": clip.caption,
        "duration_s": clip.duration_s,
        "language": _LANGUAGES.get(language, language),
    }
    return ChatRequest(read_prompt(PROMPT), variables, SCHEMA)


def _judgement(clip: Clip, answer: Answer) -> Judgement | Drop:
    stamp = read_prompt(PROMPT).stamp()
    if answer["verdict"] == "borderline":
        return Drop(STEP, clip.id, f"borderline: {answer['reason']}", "choice")
    if answer["verdict"] == "silent":
        return Judgement(None, None, (answer["reason"],), stamp)
    reply = PlannedReply(answer["reply"].strip(), answer["emotion"])
    return Judgement(answer["category"], reply, (answer["reason"],), stamp)
