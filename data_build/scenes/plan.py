"""Plans believable scenes from a bag of loose clip annotations, by rule (paper: Scenario planning).

::

    bag ─▶ a setting that suits most of it ─▶ an ambient texture
        ─▶ every sound that neither the setting nor a sound already in refuses
        ─▶ tracks, order, lengths, words ─▶ scene
    what was refused ─▶ the same once more ─▶ a second scene

The ontology decides; nothing is asked of a server. A chat model can plan instead
(`data_build.scenes.plan_llm`); both give a `Plan` whose scenes pass `scene.check`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from data_build.scenes.draft import Draft, Part, PlanConfig
from data_build.scenes.ontology import Ontology, SoundClass, ontology
from data_build.scenes.scene import Annotation, Plan, Scene

Rng = np.random.Generator


class Planner(Protocol):
    """Turns a bag of annotations into scenes."""

    def plan(self, bag: Sequence[Annotation], rng: Rng) -> Plan: ...


@dataclass(frozen=True)
class RulePlanner:
    """Plans by the ontology's hints and rules; the same bag and generator give the same scenes.

    ``available``: classes that it may add to what is in the bag (`library.groundable`); None: all.
    """

    config: PlanConfig = field(default_factory=PlanConfig)
    available: frozenset[str] | None = None

    def plan(self, bag: Sequence[Annotation], rng: Rng) -> Plan:
        """At most two scenes; every annotation is in one of them or in ``unused`` with a reason."""
        world = ontology()
        parts: list[Part] = []
        unused: list[tuple[Annotation, str]] = []
        for annotation in bag:
            sound = _sound_of(annotation, world)
            if sound is None:
                unused.append((annotation, f"no sound class for {list(annotation.labels)}"))
            else:
                parts.append(Part(sound, annotation))
        scenes: list[Scene] = []
        for _ in range(2):
            if not parts:
                break
            scene, parts = self._scene(parts, world, rng)
            if scene is None:
                break
            scenes.append(scene)
        unused += [(p.annotation, "fits neither scene") for p in parts if p.annotation]
        return Plan(tuple(scenes), tuple(unused))

    def _scene(
        self, parts: Sequence[Part], world: Ontology, rng: Rng
    ) -> tuple[Scene | None, list[Part]]:
        shuffled = [parts[i] for i in rng.permutation(len(parts))]
        drafts = []
        for setting in world.settings:
            draft = Draft(setting, world, self.config, rng, self.available)
            drafts.append((sum(draft.offer(part) for part in shuffled), draft))
        best = max(score for score, _ in drafts)
        if not best:
            return None, list(parts)
        near = [draft for score, draft in drafts if score >= 0.8 * best]
        draft = near[int(rng.integers(len(near)))]
        draft.fill()
        taken = {id(part) for part in draft.parts}
        return draft.scene(), [part for part in parts if id(part) not in taken]


def _sound_of(annotation: Annotation, world: Ontology) -> SoundClass | None:
    """The most specific class among an annotation's labels; silence is no event."""
    found = [sound for label in annotation.labels if (sound := world.find(label))]
    found = [sound for sound in found if sound.name != "Silence"]
    return max(found, key=lambda sound: len(sound.lineage), default=None)
