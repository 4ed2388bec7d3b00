"""Judges the sounds of a corpus: by the policy, or by a chat model under the same contract."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from data_build.drops import Drop, Dropped, Report, unanswered
from data_build.labelling.policy import STEP, Policy
from data_build.labelling.policy_table import CATEGORIES
from data_build.records import Clip, Judgement, PlannedReply
from data_build.wording.grammar import literal
from data_build.wording.wording import english_name
from soundflow.endpoints.chat import Answer, ChatClient, ChatRequest
from soundflow.endpoints.http_calls import CallFailure
from soundflow.endpoints.prompts import read_prompt
from soundflow.protocol.tokens import EMOTIONS

PROMPT = Path(__file__).parent / "prompts" / "intervention.v3.md"
_SENTENCE = {"type": "string", "minLength": 1, "maxLength": 160}


def judged(
    clips: Iterable[Clip],
    rules: Policy,
    client: ChatClient | None,
    report: Report,
    languages: Sequence[str],
) -> Iterator[Clip]:
    """The clips with their judgements; undecided ones are left out.

    Args:
        client: the chat model that judges; None: the rules do. A cue of the recipe needs neither.
        report: gets a drop for every clip that is left out.
        languages: in which streams may be; the model writes a reply in each.
    """
    clips = list(clips)
    if client is not None:
        cued = [clip for clip in clips if rules.cued(clip)]
        others = [clip for clip in clips if not rules.cued(clip)]
        for clip, judgement in model_judgements(others, client, report, languages):
            yield replace(clip, judgement=judgement)
        clips = cued
    for clip in clips:
        try:
            yield replace(clip, judgement=rules.judge(clip))
        except Dropped as dropped:
            report(dropped.drop)


def model_judgements(
    clips: Iterable[Clip], client: ChatClient, report: Report, languages: Sequence[str]
) -> Iterator[tuple[Clip, Judgement]]:
    """Every clip with the model's judgement, in order; many requests run at once.

    Speech, and clips without label and caption, are dropped without asking.

    Args:
        report: gets a drop for every clip that is left out.
        languages: of the replies; the first is that of most streams.
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
                yield _request(clip, languages)

    for answer in client.map_json(requests()):
        clip = waiting.popleft()
        if isinstance(answer, CallFailure):
            report(unanswered(answer, STEP, clip.id))
        elif answer["verdict"] == "borderline":
            # The model's reasons are all different; together they are one.
            report(Drop(STEP, f"{clip.id}: {answer['reason']}", "borderline", "choice"))
        else:
            yield clip, _judgement(answer, languages)


def _request(clip: Clip, languages: Sequence[str]) -> ChatRequest:
    variables = {
        "labels": clip.labels,
        "caption": clip.caption,
        "duration_s": clip.duration_s,
        "languages": {code: english_name(code) for code in languages},
    }
    return ChatRequest(read_prompt(PROMPT), variables, _schema(languages))


def _schema(languages: Sequence[str]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {
            "verdict": {"enum": ["respond", "borderline", "silent"]},
            "reason": {"type": "string", "maxLength": 300},
            "category": {"enum": list(CATEGORIES)},
            "replies": {
                "type": "object",
                "properties": dict.fromkeys(languages, _SENTENCE),
                "required": list(languages),
            },
            "emotion": {"enum": list(EMOTIONS)},
        },
        "required": ["verdict", "reason"],
        "if": {"properties": {"verdict": {"const": "respond"}}},
        "then": {"required": ["category", "replies", "emotion"]},
    }


def _judgement(answer: Answer, languages: Sequence[str]) -> Judgement:
    stamp = read_prompt(PROMPT).stamp()
    if answer["verdict"] == "silent":
        return Judgement(evidence=(answer["reason"],), made_by=stamp)
    texts = {code: literal(answer["replies"][code].strip()) for code in languages}
    reply = PlannedReply(texts[languages[0]], answer["emotion"])
    return Judgement(reply, answer["category"], (answer["reason"],), stamp, texts)
