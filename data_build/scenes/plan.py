"""Plans plausible scenes from a bag of loose clip annotations (paper: Scenario planning).

::

    bag ─▶ a setting that suits most of it ─▶ an ambient texture
        ─▶ every sound that fits the setting and the sounds already chosen
        ─▶ tracks, order, lengths, words ─▶ scene
    the rest ─▶ the same once more ─▶ a second scene

Here the ontology decides and no server is asked; `data_build.scenes.chat_model` plans with a chat
model. The scenes of both pass `scene.check`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from data_build.scenes.config import PlanConfig
from data_build.scenes.ontology import Ontology, SoundClass, ontology
from data_build.scenes.scene import Annotation, Plan, Scene
from data_build.scenes.scene_builder import ProposedSound, SceneBuilder, propose

PLAN_STEP = "plan_scene"


class Planner(Protocol):
    """Turns a bag of annotations into scenes."""

    def plan(self, bag: Sequence[Annotation], rng: np.random.Generator) -> Plan:
        """At most two scenes; every annotation is in one of them or in ``unused`` with a reason.

        Raises:
            Dropped: if no plan can be had.
        """


@dataclass(frozen=True)
class RulePlanner:
    """Plans by the ontology's hints and rules; the same bag and generator give the same scenes.

    ``available``: classes that it may add to what is in the bag (`retrieval.groundable`); None:
    all.
    """

    config: PlanConfig = field(default_factory=PlanConfig)
    available: frozenset[str] | None = None

    def plan(self, bag: Sequence[Annotation], rng: np.random.Generator) -> Plan:
        world = ontology()
        proposed: list[ProposedSound] = []
        unused: list[tuple[Annotation, str]] = []
        for annotation in bag:
            sound = _sound_of(annotation, world)
            if sound is None:
                unused.append((annotation, "no label is a sound class"))
            else:
                proposed.append(propose(sound, annotation, self.config, rng))
        scenes: list[Scene] = []
        for _ in range(2):
            if not proposed:
                break
            scene, proposed = self._scene(proposed, world, rng)
            if scene is None:
                break
            scenes.append(scene)
        unused += [(p.annotation, "fits neither scene") for p in proposed if p.annotation]
        return Plan(tuple(scenes), tuple(unused))

    def _scene(
        self, proposed: Sequence[ProposedSound], world: Ontology, rng: np.random.Generator
    ) -> tuple[Scene | None, list[ProposedSound]]:
        """A scene in one of the settings that suit the sounds best, and the sounds not in it."""
        shuffled = [proposed[i] for i in rng.permutation(len(proposed))]
        rated: list[tuple[float, SceneBuilder]] = []
        for setting in world.settings:
            builder = SceneBuilder(setting, world, self.config, rng, self.available)
            rated.append((sum(builder.offer(p) for p in shuffled), builder))
        best = max(score for score, _ in rated)
        if not best:
            return None, list(proposed)
        near = [builder for score, builder in rated if score >= 0.8 * best]
        builder = near[int(rng.integers(len(near)))]
        builder.complete()
        taken = {id(p) for p in builder.sounds}
        return builder.scene(), [p for p in proposed if id(p) not in taken]


def _sound_of(annotation: Annotation, world: Ontology) -> SoundClass | None:
    """The most specific class among an annotation's labels; silence is no event."""
    found = [sound for label in annotation.labels if (sound := world.find(label))]
    found = [sound for sound in found if sound.name != "Silence"]
    return max(found, key=lambda sound: len(sound.lineage), default=None)
