"""Plausible scenes from the sounds of a split: plan, refine, ground (paper: section 2.2).

::

    a bag of clips ─▶ Planner ─▶ Scene ─▶ Refiner ─▶ Refined ─▶ Grounder ─▶ CuratedScene
                                           for every event          └─▶ Drop
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from data_build.chat_use import Deciders
from data_build.clip_cache import ClipStore
from data_build.drops import Drop, Dropped, Report
from data_build.randomness import generator as rng_of
from data_build.records import Clip
from data_build.scenes.chat_model import ChatPlanner, ChatRefiner, ChatVerifier
from data_build.scenes.config import ScenesConfig
from data_build.scenes.generate import Generator, HttpGenerator, SynthGenerator
from data_build.scenes.ground import Grounded, Grounder, Tagger
from data_build.scenes.measure import Float32
from data_build.scenes.onnx_models import open_sentence_encoder, open_tagger
from data_build.scenes.ontology import SoundClass, ontology
from data_build.scenes.plan import PLAN_STEP, Planner, RulePlanner
from data_build.scenes.refine import Refiner, RuleRefiner
from data_build.scenes.retrieval import ClipLibrary, Reranker
from data_build.scenes.scene import Annotation, Scene, check, sentence
from data_build.scenes.verify import RuleVerifier
from data_build.synth.kinds import KINDS
from data_build.tfjp.loop import tfjp
from data_build.tfjp.spectrum import TfjpConfig

BAG = 10  # clips that a scene is planned from


@dataclass(frozen=True)
class CuratedScene:
    """A scene whose events have clips, in the order of the scene."""

    scene: Scene
    grounded: tuple[Grounded, ...]

    def provenance(self) -> dict[str, Any]:
        return {
            "scene": asdict(self.scene),
            "events": [grounded.provenance() for grounded in self.grounded],
        }


@dataclass(frozen=True)
class SceneSource:
    """Makes scenes from the sounds of a split; each of the three steps by rule or by chat model.

    ``decided``: whether it is known what a sound of a class deserves; others are in no scene.
    """

    planner: Planner
    refiner: Refiner
    grounder: Grounder
    sounds: Sequence[Clip]
    decided: Callable[[SoundClass], bool] = lambda sound: True

    def scene(
        self,
        seed: str,
        rng: np.random.Generator,
        report: Report,
        holding: Clip | None = None,
    ) -> CuratedScene:
        """One scene.

        Args:
            seed: names the scene in drops, and decides about takes and ties.
            rng: draws the clips that the scene is planned from, and which of its scenes it is.
            report: takes the drops of damaged clips that were met. Clips that did not fit into the
                scene are no drops.
            holding: a clip of whose sound the scene has one in its foreground.

        Raises:
            Dropped: if the clips allow none.
            ServerGone: if a server that the recipe names has stopped responding.
        """
        count = min(2 * BAG, len(self.sounds))
        drawn = [self.sounds[int(i)] for i in rng.integers(len(self.sounds), size=count)]
        bag = [clip for clip in drawn if self._usable(clip)][:BAG]
        if holding is not None:
            bag.insert(0, holding)
        scenes, drops = self.scenes(list({clip.id: clip for clip in bag}.values()), seed, holding)
        for drop in drops:
            if drop.kind == "loss":
                report(drop)
        if not scenes:
            raise Dropped(drops[-1] if drops else Drop(PLAN_STEP, seed, "no scene", "choice"))
        return scenes[int(rng.integers(len(scenes)))]

    def scenes(
        self, bag: Sequence[Clip], seed: str, holding: Clip | None = None
    ) -> tuple[tuple[CuratedScene, ...], tuple[Drop, ...]]:
        """All scenes of a bag of clips, and a drop for every clip that is left out.

        With ``holding`` only the scene that has a sound of it.

        A scene survives the loss of an event as long as it has three, one of them in the
        foreground and one ambient.
        """
        drops: list[Drop] = []
        try:
            held = holding.id if holding is not None else None
            annotations = [Annotation.of(clip) for clip in bag]
            plan = self.planner.plan(annotations, rng_of("plan", seed), held)
        except Dropped as dropped:
            return (), (dropped.drop,)
        for unused, why in plan.unused:
            item = f"{unused.id} ({', '.join(unused.labels)})"
            drops.append(Drop(PLAN_STEP, item, why, "choice"))
        scenes: list[CuratedScene] = []
        for number, scene in enumerate(plan.scenes if holding is None else plan.scenes[:1]):
            try:
                scenes.append(self._grounded(scene, f"{seed}/{number}", drops.append, holding))
            except Dropped as dropped:
                drops.append(dropped.drop)
        return tuple(scenes), tuple(drops)

    def _grounded(
        self, scene: Scene, seed: str, report: Report, holding: Clip | None
    ) -> CuratedScene:
        found: list[Grounded] = []
        for number, event in enumerate(scene.events):
            held = holding if holding is not None and event.source == holding.id else None
            try:
                refined = self.refiner.refine(event, scene)
                seeded = f"{seed}/{number}"
                found.append(self.grounder.ground(event, refined, seeded, report, held))
            except Dropped as dropped:
                report(dropped.drop)
        left = _with_events(scene, found, seed)
        lost = holding is not None and holding.id not in {e.source for e in left.events}
        if lost or check(left, ontology()):
            item = f"{seed}: {len(found)} of {len(scene.events)} events"
            raise Dropped(Drop(PLAN_STEP, item, "too few events have a clip", "choice"))
        return CuratedScene(left, tuple(found))

    def _usable(self, clip: Clip) -> bool:
        found = (ontology().find(label) for label in clip.labels)
        return all(self.decided(sound) for sound in found if sound is not None)


def _with_events(scene: Scene, grounded: Sequence[Grounded], seed: str) -> Scene:
    """The scene with the events that have clips; where one is missing, with a new sentence."""
    events = tuple(g.event for g in grounded)
    if len(events) == len(scene.events):
        return scene
    words = sentence(scene.location, scene.time_of_day, events, rng_of("sentence", seed))
    return replace(scene, events=events, sentence=words)


def open_models(config: ScenesConfig) -> tuple[Tagger | None, Reranker | None]:
    """The tagger and the sentence encoder that a recipe names.

    Raises:
        UserError: naming a package that is not installed, or a file that is missing or wrong.
    """
    return (
        open_tagger(config.tagger) if config.tagger else None,
        open_sentence_encoder(config.sentence_encoder) if config.sentence_encoder else None,
    )


def scene_source(
    config: ScenesConfig,
    sounds: Sequence[Clip],
    library: Path,
    store: Path,
    prepare: Callable[[Clip], Float32],
    tfjp_config: TfjpConfig,
    deciders: Deciders,
    decided: Callable[[SoundClass], bool] = lambda sound: True,
) -> SceneSource:
    """The source of a split's scenes, as the recipe chooses.

    Args:
        sounds: the clips, in the order in which ``library`` indexes them.
        library: folder that `retrieval.write_clip_library` wrote.
        store: folder for clips that are generated or reprocessed.
        prepare: the samples of a clip as a stream uses them; raises `Dropped`.
        deciders: who plans, refines and verifies.
        decided: whether it is known what a sound of a class deserves.

    Raises:
        UserError: if a model that the recipe names cannot be opened.
    """
    tagger, reranker = open_models(config)
    clips = ClipLibrary(library, sounds, reranker)
    clip_store = ClipStore(store)
    generator: Generator = SynthGenerator()
    world = ontology()
    had: dict[str, float | None] = {kind.label: None for kind in KINDS.values()}
    had |= clips.classes
    if config.generator is not None:
        generator = HttpGenerator(config.generator, clip_store)
        # A caption can ask for any class.
        had = {name: had.get(name) for name, sound in world.classes.items() if sound.id}
    available = {name: s for name, s in had.items() if decided(world.classes[name])}
    planner, refiner = deciders.model("plan"), deciders.model("refine")
    verifier = deciders.model("verify")
    return SceneSource(
        planner=(
            ChatPlanner(planner, config.plan) if planner else RulePlanner(config.plan, available)
        ),
        refiner=ChatRefiner(refiner) if refiner else RuleRefiner(),
        grounder=Grounder(
            library=clips,
            verifier=ChatVerifier(verifier) if verifier else RuleVerifier(config.verify),
            prepare=prepare,
            reprocess=lambda samples: tfjp(samples, tfjp_config).samples,
            store=clip_store,
            generator=generator,
            tagger=tagger,
        ),
        sounds=sounds,
        decided=decided,
    )
