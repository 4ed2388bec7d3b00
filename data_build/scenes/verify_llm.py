"""Clips judged by a chat model from labels, caption and measured numbers."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

from data_build.chat.client import Answer, ChatClient
from data_build.chat.prompts import Prompt, read_prompt
from data_build.scenes.plan_llm import PROMPTS, made_by
from data_build.scenes.refine import Refined
from data_build.scenes.scene import SubEvent
from data_build.scenes.verify import CRITERIA, Candidate, Judgement, Verdict

_OUTCOMES = ["pass", "mend", "fail"]
VERIFY_SCHEMA = {
    "type": "object",
    "properties": {
        name: {
            "type": "object",
            "properties": {
                "outcome": {"enum": ["pass", "fail"] if name == "identity" else _OUTCOMES},
                "reason": {"type": "string"},
            },
            "required": ["outcome", "reason"],
        }
        for name in CRITERIA
    },
    "required": list(CRITERIA),
}


@dataclass(frozen=True)
class ChatVerifier:
    """Lets a chat model judge each criterion; what follows from the four is decided here."""

    client: ChatClient
    prompt: Prompt = field(default_factory=lambda: read_prompt(PROMPTS / "verify_clip.v1.md"))

    def judge(self, candidate: Candidate, event: SubEvent, refined: Refined) -> Verdict:
        """Raises:
        CallFailure: when the model gives no usable answer.
        """
        variables = {
            "sound": event.sound,
            "role": event.role,
            "duration_s": event.duration_s,
            "description": event.description,
            "tags": refined.tags,
            "labels": candidate.clip.labels,
            "caption": candidate.clip.caption,
            "measured": asdict(candidate.measured),
            "again": candidate.reprocessed,
        }
        answer = self.client.ask_json(self.prompt, variables, VERIFY_SCHEMA)
        return Verdict(
            identity=_judgement(answer["identity"]),
            cleanliness=_judgement(answer["cleanliness"]),
            duration=_judgement(answer["duration"]),
            continuity=_judgement(answer["continuity"]),
            made_by=made_by("verifier", self.client, self.prompt),
        )


def _judgement(answer: Answer) -> Judgement:
    return Judgement(answer["outcome"], answer["reason"])
