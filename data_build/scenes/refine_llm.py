"""Events refined by a chat model, to the same type and under the same checks."""

from __future__ import annotations

from dataclasses import dataclass, field

from data_build.chat.client import ChatClient
from data_build.chat.prompts import Prompt, read_prompt
from data_build.http_calls import CallFailure
from data_build.scenes.ontology import Ontology, ontology
from data_build.scenes.plan_llm import PROMPTS, ROUNDS, made_by
from data_build.scenes.refine import Refined, check_refined
from data_build.scenes.scene import Scene, SubEvent

REFINE_SCHEMA = {
    "type": "object",
    "properties": {
        "query": {"type": "string", "minLength": 1},
        "caption": {"type": "string", "minLength": 1},
        "tags": {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 40},
    },
    "required": ["query", "caption", "tags"],
}


@dataclass(frozen=True)
class ChatRefiner:
    """Refines through a chat model; an answer that breaks a rule goes back with what is wrong."""

    client: ChatClient
    prompt: Prompt = field(default_factory=lambda: read_prompt(PROMPTS / "refine_event.v1.md"))

    def refine(self, event: SubEvent, scene: Scene) -> Refined:
        """Raises:
        CallFailure: when the model gives no answer, or none that keeps the rules.
        """
        world = ontology()
        problems: tuple[str, ...] = ()
        for _ in range(ROUNDS):
            variables = {
                "scene": scene.sentence,
                "sound": event.sound,
                "role": event.role,
                "duration_s": event.duration_s,
                "description": event.description,
                "near": _near(event.sound, world),
                "problems": problems,
            }
            answer = self.client.ask_json(self.prompt, variables, REFINE_SCHEMA)
            refined = Refined(
                query=" ".join(answer["query"].split()),
                caption=" ".join(answer["caption"].split()),
                tags=tuple(
                    dict.fromkeys(
                        found.name if (found := world.find(tag)) else tag for tag in answer["tags"]
                    )
                ),
                made_by=made_by("refiner", self.client, self.prompt),
            )
            problems = check_refined(refined, event, world)
            if not problems:
                return refined
        raise CallFailure("unfit_refinement", "; ".join(problems)[:400])


def _near(name: str, world: Ontology) -> list[str]:
    """What is evidence for a class, and its siblings: what it is to be told from."""
    parent = world.classes[name].lineage[min(1, len(world.classes[name].lineage) - 1)]
    near = dict.fromkeys((*world.evidence(name), *world.under(parent)))
    return list(near)[:40]
