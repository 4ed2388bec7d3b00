"""Plans plausible scenes from a bag of loose clip annotations (paper: Scenario planning).

::

    bag ─▶ a setting that has most of it ─▶ its ambient texture
        ─▶ every sound that belongs there, then, and goes with the sounds already chosen
        ─▶ order, time of day, words ─▶ scene
    the rest ─▶ the same once more ─▶ a second scene

Here the ontology decides and no server is asked; `data_build.scenes.chat_model` plans with a chat
model. The scenes of both pass `scene.check`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from data_build.scenes.config import PlanConfig
from data_build.scenes.ontology import Ontology, SoundClass, ontology
from data_build.scenes.scene import Annotation, Plan, Scene
from data_build.scenes.scene_builder import ProposedSound, SceneBuilder, propose

PLAN_STEP = "plan_scene"
NEARLY = 0.5  # of the sounds that the best setting takes, for another one to be as good


class Planner(Protocol):
    """Turns a bag of annotations into scenes."""

    def plan(
        self, bag: Sequence[Annotation], rng: np.random.Generator, holding: str | None = None
    ) -> Plan:
        """At most two scenes; every annotation is in one of them or in ``unused`` with a reason.

        Args:
            holding: id of an annotation that the first scene has to have in its foreground.

        Raises:
            Dropped: if no plan can be had.
        """


@dataclass(frozen=True)
class RulePlanner:
    """Plans by the ontology's hints and rules; the same bag and generator give the same scenes.

    ``available``: classes of which there are clips, and how long those usually are, where it is
    known; it adds no others to what is in the bag. None: any can be had.
    """

    config: PlanConfig = field(default_factory=PlanConfig)
    available: Mapping[str, float | None] | None = None

    def plan(
        self, bag: Sequence[Annotation], rng: np.random.Generator, holding: str | None = None
    ) -> Plan:
        world = ontology()
        proposed: list[ProposedSound] = []
        unused: list[tuple[Annotation, str]] = []
        for annotation in bag:
            sound = _sound_of(annotation, world)
            if sound is None:
                unused.append((annotation, "no label is a sound class"))
            else:
                known = annotation.duration_s
                proposed.append(propose(sound, known, self.config, rng, annotation))
        scenes: list[Scene] = []
        for _ in range(2):
            if not proposed:
                break
            held = next((p for p in proposed if p.annotation and p.annotation.id == holding), None)
            scene, proposed = self._scene(proposed, world, rng, held)
            if scene is None:
                break
            scenes.append(scene)
        unused += [(p.annotation, "fits neither scene") for p in proposed if p.annotation]
        return Plan(tuple(scenes), tuple(unused))

    def _scene(
        self,
        proposed: Sequence[ProposedSound],
        world: Ontology,
        rng: np.random.Generator,
        held: ProposedSound | None,
    ) -> tuple[Scene | None, list[ProposedSound]]:
        """A scene in one of the settings that have most of the sounds, and the others.

        ``held`` is in its foreground.
        """
        shuffled = [proposed[i] for i in rng.permutation(len(proposed))]
        rated: list[tuple[int, SceneBuilder]] = []
        for i in rng.permutation(len(world.settings)):
            builder = SceneBuilder(world.settings[i], world, self.config, rng, self.available)
            if held is None or builder.hold(held):
                rated.append((sum(builder.offer(p) for p in shuffled), builder))
        best = max((score for score, _ in rated), default=0)
        for score, builder in rated:
            if (score or held) and score >= NEARLY * best and builder.complete():
                taken = {id(p) for p in builder.sounds}
                return builder.scene(), [p for p in proposed if id(p) not in taken]
        return None, list(proposed)


def _sound_of(annotation: Annotation, world: Ontology) -> SoundClass | None:
    """The most specific class among an annotation's labels; silence is no event."""
    found = [sound for label in annotation.labels if (sound := world.find(label))]
    found = [sound for sound in found if sound.name != "Silence"]
    return max(found, key=lambda sound: len(sound.lineage), default=None)
