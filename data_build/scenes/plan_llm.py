"""Scenes planned by a chat model, held to the same rules as those planned by rule."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from data_build.chat.client import Answer, ChatClient
from data_build.chat.prompts import Prompt, read_prompt
from data_build.http_calls import CallFailure
from data_build.scenes.draft import PlanConfig
from data_build.scenes.ontology import Ontology, ontology
from data_build.scenes.scene import (
    MAX_EVENTS,
    MIN_EVENTS,
    TIMES_OF_DAY,
    Annotation,
    Plan,
    Scene,
    SubEvent,
    check,
)

PROMPTS = Path(__file__).parent / "prompts"
ROUNDS = 3  # a refused plan is sent back with its faults this often, the first time included

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
PLAN_SCHEMA = {
    "type": "object",
    "properties": {
        "scenes": {
            "type": "array",
            "minItems": 1,
            "maxItems": 2,
            "items": {
                "type": "object",
                "properties": {
                    "sentence": {"type": "string"},
                    "location": {"type": "string"},
                    "place": {"enum": ["inside", "outside"]},
                    "time_of_day": {"enum": list(TIMES_OF_DAY)},
                    "events": {
                        "type": "array",
                        "minItems": MIN_EVENTS,
                        "maxItems": MAX_EVENTS,
                        "items": _EVENT,
                    },
                },
                "required": ["sentence", "location", "place", "time_of_day", "events"],
            },
        }
    },
    "required": ["scenes"],
}


@dataclass(frozen=True)
class ChatPlanner:
    """Plans through a chat model; a plan that breaks a rule goes back with what is wrong."""

    client: ChatClient
    config: PlanConfig = field(default_factory=PlanConfig)
    prompt: Prompt = field(default_factory=lambda: read_prompt(PROMPTS / "plan_scene.v1.md"))

    def plan(self, bag: Sequence[Annotation], rng: np.random.Generator) -> Plan:
        """Raises:
        CallFailure: when the model gives no answer, or none that keeps the rules.
        """
        world = ontology()
        textures = sorted({name for setting in world.settings for name in setting.ambient})
        problems: list[str] = []
        for _ in range(ROUNDS):
            variables = {
                "bag": bag,
                # The order is drawn, so that a bag met twice is not the same question.
                "textures": [textures[i] for i in rng.permutation(len(textures))],
                "max_duration_s": self.config.max_duration_s,
                "problems": problems,
            }
            answer = self.client.ask_json(self.prompt, variables, PLAN_SCHEMA)
            scenes = tuple(self._scene(scene, world) for scene in answer["scenes"])
            problems = [str(fault) for fault in self._faults(scenes, bag, world)]
            if not problems:
                used = {e.source for scene in scenes for e in scene.events}
                rest = [(a, "left out by the planner") for a in bag if a.id not in used]
                return Plan(scenes, tuple(rest))
        raise CallFailure("unfit_scene", "; ".join(problems)[:400])

    def _scene(self, answer: Answer, world: Ontology) -> Scene:
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
            made_by=made_by("planner", self.client, self.prompt),
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


def made_by(part: str, client: ChatClient, prompt: Prompt) -> dict[str, Any]:
    """What the provenance says of something that a chat model decided."""
    return {part: "chat", "model": client.config.model, "prompt": prompt.stamp()}


def _event(answer: Answer, world: Ontology) -> SubEvent:
    sound = world.find(answer["sound"])
    return SubEvent(
        sound=sound.name if sound else answer["sound"],
        role=answer["role"],
        duration_s=round(float(answer["duration_s"]), 2),
        description=answer["description"],
        source=answer["source"],
    )
