"""Planning, refining and verifying by a chat model instead of by rule.

::

    prompt + facts ─▶ chat model ─▶ answer ─▶ the rules ─┬─ kept ────▶ Plan, Refined, Verification
                          ▲                              │
                          └──── what is wrong with it ───┘  at most `ROUNDS` times ─▶ Dropped

The types and the rules are those of `plan`, `refine` and `verify`: the answers of a model have to
obey the ontology.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from data_build.drops import Drop, Dropped
from data_build.scenes.config import PlanConfig
from data_build.scenes.ground import GROUND_STEP
from data_build.scenes.ontology import TIMES_OF_DAY, Ontology, ontology
from data_build.scenes.plan import PLAN_STEP
from data_build.scenes.refine import REFINE_STEP, Refined, check_refined
from data_build.scenes.scene import (
    MAX_EVENTS,
    MIN_EVENTS,
    Annotation,
    Plan,
    Scene,
    SubEvent,
    check,
)
from data_build.scenes.verify import CRITERIA, Candidate, Finding, Verification
from soundflow.endpoints.chat import Answer, ChatClient, Schema
from soundflow.endpoints.http_calls import CallFailure
from soundflow.endpoints.prompts import Prompt, read_prompt

T = TypeVar("T")
PROMPTS = Path(__file__).parent / "prompts"
ROUNDS = 3  # how often a question is asked while its answers break the rules
MAX_TAGS = 5  # how many of the classes that a tagging model detected are in a question

_EVENT = {
    "type": "object",
    "properties": {
        "source": {"type": ["string", "null"]},
        "sound": {"type": "string", "minLength": 1},
        "role": {"enum": ["foreground", "background", "ambient"]},
        "duration_s": {"type": "number", "exclusiveMinimum": 0, "maximum": 600},
        "description": {"type": "string", "minLength": 1},
    },
    "required": ["source", "sound", "role", "duration_s", "description"],
}
_SCENE = {
    "type": "object",
    "properties": {
        "sentence": {"type": "string"},
        "location": {"type": "string"},
        "place": {"enum": ["inside", "outside"]},
        "time_of_day": {"enum": list(TIMES_OF_DAY)},
        "events": {
            "type": "array", "minItems": MIN_EVENTS, "maxItems": MAX_EVENTS, "items": _EVENT,
        },
    },
    "required": ["sentence", "location", "place", "time_of_day", "events"],
}  # fmt: skip
PLAN_SCHEMA = {
    "type": "object",
    "properties": {
        "scenes": {"type": "array", "minItems": 1, "maxItems": 2, "items": _SCENE},
    },
    "required": ["scenes"],
}
REFINE_SCHEMA = {
    "type": "object",
    "properties": {
        "query": {"type": "string", "minLength": 1},
        "caption": {"type": "string", "minLength": 1},
        "tags": {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 40},
    },
    "required": ["query", "caption", "tags"],
}
VERIFY_SCHEMA = {
    "type": "object",
    "properties": {
        name: {
            "type": "object",
            "properties": {
                "outcome": {
                    "enum": ["pass", "fail", *(["reprocess"] if name != "identity" else [])]
                },
                "reason": {"type": "string"},
            },
            "required": ["outcome", "reason"],
        }
        for name in CRITERIA
    },
    "required": list(CRITERIA),
}


@dataclass(frozen=True)
class _Question:
    """One step asked of a chat model; ``item`` names what is dropped if there is no answer."""

    client: ChatClient
    prompt: Prompt
    schema: Schema
    step: str

    def ask(
        self,
        variables: Mapping[str, Any],
        item: str,
        parse: Callable[[Answer], T],
        faults: Callable[[T], Sequence[str]],
    ) -> T:
        """The first answer without faults; a faulty one is sent back with its errors.

        Raises:
            Dropped: when the model gives no answer, or none without faults.
        """
        problems: Sequence[str] = ()
        for refused in range(ROUNDS):  # its number makes the same faults another question
            asked = {**variables, "problems": problems, "refused": refused}
            try:
                answer = self.client.ask_json(self.prompt, asked, self.schema)
            except CallFailure as failure:
                reason = f"no usable answer of the chat model ({failure.kind})"
                raise self._dropped(f"{item}: {failure.detail}", reason) from failure
            value = parse(answer)
            problems = faults(value)
            if not problems:
                return value
        reason = f"the chat model broke the rules {ROUNDS} times in a row"
        raise self._dropped(f"{item}: {'; '.join(problems)[:400]}", reason)

    def _dropped(self, item: str, reason: str) -> Dropped:
        return Dropped(Drop(self.step, item, reason, "choice"))

    def made_by(self, role: str) -> dict[str, Any]:
        """The entry in the provenance for a decision of the model."""
        return {role: "chat", "model": self.client.config.model, "prompt": self.prompt.stamp()}


def _prompt(name: str) -> Prompt:
    return read_prompt(PROMPTS / name)


@dataclass(frozen=True)
class ChatPlanner:
    """A `Planner` that asks a chat model."""

    client: ChatClient
    config: PlanConfig = field(default_factory=PlanConfig)

    def plan(
        self, bag: Sequence[Annotation], rng: np.random.Generator, holding: str | None = None
    ) -> Plan:
        world = ontology()
        question = _Question(self.client, _prompt("plan_scene.v2.md"), PLAN_SCHEMA, PLAN_STEP)
        made_by = question.made_by("planner")
        textures = sorted({name for setting in world.settings for name in setting.ambient})
        variables = {
            "bag": bag,
            "holding": holding,
            # The order is drawn, so that a bag met twice is not the same question.
            "textures": [textures[i] for i in rng.permutation(len(textures))],
            "max_duration_s": self.config.max_duration_s,
        }
        scenes = question.ask(
            variables,
            f"a bag of {len(bag)} clips",
            lambda answer: [self._scene(scene, world, made_by) for scene in answer["scenes"]],
            lambda scenes: [*self._faults(scenes, bag, world), *_lacks(scenes, holding)],
        )
        used = {event.source for scene in scenes for event in scene.events}
        unused = [(a, "left out by the planner") for a in bag if a.id not in used]
        return Plan(tuple(scenes), tuple(unused))

    def _scene(self, answer: Answer, world: Ontology, made_by: dict[str, Any]) -> Scene:
        events = [_event(event, world) for event in answer["events"]]
        front = [event for event in events if event.role == "foreground"]
        duration_s = sum(e.duration_s for e in front) + self.config.gap_s * (len(front) + 1)
        duration_s = round(max(duration_s, 4.0), 2)
        return Scene(
            sentence=" ".join(answer["sentence"].split()),
            location=answer["location"],
            place="in" if answer["place"] == "inside" else "out",
            time_of_day=answer["time_of_day"],
            duration_s=duration_s,
            events=tuple(
                replace(e, duration_s=duration_s) if e.role == "ambient" else e for e in events
            ),
            made_by=made_by,
        )

    def _faults(
        self, scenes: Sequence[Scene], bag: Sequence[Annotation], world: Ontology
    ) -> Iterator[str]:
        known = {annotation.id for annotation in bag}
        for number, scene in enumerate(scenes, 1):
            for violation in check(scene, world):
                yield f"scene {number}: {violation}"
            if scene.duration_s > self.config.max_duration_s + 1.0:
                yield f"scene {number}: lasts {scene.duration_s:.0f} s"
        sources = [e.source for scene in scenes for e in scene.events if e.source is not None]
        for source in sorted(set(sources)):
            if source not in known:
                yield f"{source!r} is no clip of the bag"
            if sources.count(source) > 1:
                yield f"clip {source} is used twice"


def _event(answer: Answer, world: Ontology) -> SubEvent:
    sound = world.find(answer["sound"])
    return SubEvent(
        sound=sound.name if sound else answer["sound"],
        role=answer["role"],
        duration_s=round(float(answer["duration_s"]), 2),
        description=answer["description"],
        source=answer["source"],
    )


@dataclass(frozen=True)
class ChatRefiner:
    """A `Refiner` that asks a chat model."""

    client: ChatClient

    def refine(self, event: SubEvent, scene: Scene) -> Refined:
        world = ontology()
        question = _Question(self.client, _prompt("refine_event.v1.md"), REFINE_SCHEMA, REFINE_STEP)
        made_by = question.made_by("refiner")

        def parse(answer: Answer) -> Refined:
            found = ((tag, world.find(tag)) for tag in answer["tags"])
            tags = dict.fromkeys(sound.name if sound else tag for tag, sound in found)
            query, caption = (" ".join(answer[key].split()) for key in ("query", "caption"))
            return Refined(query, caption, tuple(tags), made_by)

        variables = {
            "scene": scene.sentence,
            "sound": event.sound,
            "role": event.role,
            "duration_s": event.duration_s,
            "description": event.description,
            "near": _near(event.sound, world),
        }
        return question.ask(
            variables, event.sound, parse, lambda refined: check_refined(refined, event, world)
        )


def _lacks(scenes: Sequence[Scene], holding: str | None) -> list[str]:
    """The fault of scenes without a clip that the first has to have in its foreground."""
    if holding is None or (scenes and holding in {e.source for e in scenes[0].on("foreground")}):
        return []
    return [f"{holding} has to be in the foreground of the first scene"]


def _near(name: str, world: Ontology) -> list[str]:
    """The evidence for a class, and its siblings, with which it may be confused."""
    parent = world.classes[name].lineage[min(1, len(world.classes[name].lineage) - 1)]
    near = dict.fromkeys((*world.evidence(name), *world.under(parent)))
    return list(near)[:40]


@dataclass(frozen=True)
class ChatVerifier:
    """A `Verifier` that asks a chat model; the consequences of its findings are decided here."""

    client: ChatClient

    def verify(self, candidate: Candidate, event: SubEvent, refined: Refined) -> Verification:
        question = _Question(self.client, _prompt("verify_clip.v1.md"), VERIFY_SCHEMA, GROUND_STEP)
        detected = sorted(candidate.tags.items(), key=lambda tag: -tag[1])[:MAX_TAGS]
        variables = {
            "sound": event.sound,
            "role": event.role,
            "duration_s": event.duration_s,
            "description": event.description,
            "tags": refined.tags,
            "labels": candidate.clip.labels,
            "caption": candidate.clip.caption,
            "measured": asdict(candidate.measured),
            "detected": detected,
            "again": candidate.reprocessed,
        }

        def parse(answer: Answer) -> Verification:
            findings = {
                name: Finding(answer[name]["outcome"], answer[name]["reason"]) for name in CRITERIA
            }
            return Verification(**findings, made_by=question.made_by("verifier"))

        return question.ask(variables, f"{candidate.clip.id} as {event.sound}", parse, lambda _: ())
