"""From a bag of loose clips to scenes with audio: plan, refine, ground (paper: section 2.2).

::

    bag ─▶ Planner ─▶ Scene ─▶ Refiner ─▶ Refined ─▶ Grounder ─▶ clip
                                 for every event          └─▶ Drop
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from data_build.drops import Drop
from data_build.http_calls import CallFailure
from data_build.randomness import generator
from data_build.records import Clip, Item
from data_build.scenes.describe import sentence
from data_build.scenes.ground import Grounded, Grounder
from data_build.scenes.plan import Planner
from data_build.scenes.refine import Refiner
from data_build.scenes.scene import MIN_EVENTS, Annotation, Scene

PLAN_STEP, REFINE_STEP = "plan_scene", "refine_event"


@dataclass(frozen=True)
class CuratedScene:
    """A scene whose events have clips, in the order of the scene."""

    scene: Scene
    grounded: tuple[Grounded, ...]

    def items(self) -> tuple[Item, ...]:
        """What a stream plan is made of: no event makes the assistant say anything by itself."""
        return tuple(Item(g.clip, g.event.sound, track=g.event.role) for g in self.grounded)

    def provenance(self) -> dict[str, Any]:
        return {
            "scene": asdict(self.scene),
            "events": [grounded.provenance() for grounded in self.grounded],
        }


@dataclass(frozen=True)
class Curated:
    scenes: tuple[CuratedScene, ...]
    drops: tuple[Drop, ...]


@dataclass(frozen=True)
class Curator:
    """The three stages, each by rule or by a chat model."""

    planner: Planner
    refiner: Refiner
    grounder: Grounder

    def curate(self, bag: Sequence[Clip], seed: str) -> Curated:
        """Scenes from a bag; everything that did not make it is a drop with its reason.

        A scene survives the loss of an event as long as it has three, one of them in the
        foreground and one ambient.
        """
        try:
            plan = self.planner.plan([Annotation.of(clip) for clip in bag], generator("plan", seed))
        except CallFailure as failure:
            return Curated((), (failure.drop(PLAN_STEP, seed),))
        drops = [Drop(PLAN_STEP, annotation.id, why, "choice") for annotation, why in plan.unused]
        scenes: list[CuratedScene] = []
        for number, scene in enumerate(plan.scenes):
            curated = self._ground(scene, f"{seed}/{number}", drops)
            if curated is not None:
                scenes.append(curated)
        return Curated(tuple(scenes), tuple(drops))

    def _ground(self, scene: Scene, seed: str, drops: list[Drop]) -> CuratedScene | None:
        grounded: list[Grounded] = []
        for number, event in enumerate(scene.events):
            try:
                refined = self.refiner.refine(event, scene)
            except CallFailure as failure:
                drops.append(failure.drop(REFINE_STEP, f"{seed}/{event.sound}"))
                continue
            found = self.grounder.ground(event, refined, f"{seed}/{number}")
            if isinstance(found, Drop):
                drops.append(found)
            else:
                grounded.append(found)
        roles = [g.event.role for g in grounded]
        if len(grounded) < MIN_EVENTS or "foreground" not in roles or "ambient" not in roles:
            lost = len(scene.events) - len(grounded)
            drops.append(
                Drop(PLAN_STEP, seed, f"too little left: {lost} events without a clip", "choice")
            )
            return None
        return CuratedScene(_as_heard(scene, grounded, seed), tuple(grounded))


def _as_heard(scene: Scene, grounded: Sequence[Grounded], seed: str) -> Scene:
    """The scene with the events that have clips; where one is missing, told in new words."""
    events = tuple(g.event for g in grounded)
    if len(events) == len(scene.events):
        return scene
    told = sentence(scene.location, scene.time_of_day, events, generator("told", seed))
    return replace(scene, events=events, sentence=told)
