"""From the recipe to who speaks and who plans scenes: rules, or a chat model where it is asked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from data_build.chat.client import ChatClient
from data_build.chat.use import asked_for
from data_build.clip_cache import ClipCache
from data_build.drops import Dropped
from data_build.pools.prepare import Preparer
from data_build.pools.scene_source import SceneSource
from data_build.recipe import BuildRecipe
from data_build.records import Clip
from data_build.scenes.curator import Curator
from data_build.scenes.generate import SynthGenerator
from data_build.scenes.ground import Grounder
from data_build.scenes.keep import ClipKeeper
from data_build.scenes.plan import RulePlanner
from data_build.scenes.plan_llm import ChatPlanner
from data_build.scenes.refine import RuleRefiner
from data_build.scenes.refine_llm import ChatRefiner
from data_build.scenes.retrieval import ClipLibrary, groundable
from data_build.scenes.verify import RuleVerifier
from data_build.scenes.verify_llm import ChatVerifier
from data_build.speech.rewriting.rewriter import ChatRewriter
from data_build.speech.setup import speech_sources
from data_build.speech.speech_source import SpeechSource
from data_build.synth.kinds import KINDS
from data_build.tfjp.config import TfjpConfig
from data_build.tfjp.loop import tfjp
from soundflow.audio.level import Float32

KEPT = "kept"


def make_speech_sources(
    recipe: BuildRecipe, clips: ClipCache, client: ChatClient | None
) -> dict[str, SpeechSource]:
    """Split -> who speaks in it; engines are loaded when the first text is spoken."""
    model = asked_for("rewrite", recipe.llm, client)
    voices = {name: split.voices for name, split in recipe.splits.items()}
    rewriter = ChatRewriter(model) if model else None
    return speech_sources(recipe.speech, voices, recipe.seed, clips, rewriter)


def make_scene_source(
    recipe: BuildRecipe,
    output: Path,
    preparer: Preparer,
    client: ChatClient | None,
    folder: Path,
    sounds: Sequence[Clip],
) -> SceneSource:
    """Who plans scenes over the clip library in ``folder``; what nothing in it fits is made."""
    library = ClipLibrary(folder)
    planner, refiner, verifier = (
        asked_for(decision, recipe.llm, client) for decision in ("plan", "refine", "verify")
    )
    available = groundable([*library.classes, *(kind.label for kind in KINDS.values())])
    settings = recipe.prepare.tfjp or TfjpConfig()

    def samples_of(clip: Clip) -> Float32:
        return preparer.prepare(clip).samples

    def reprocess(samples: Float32) -> Float32:
        return tfjp(samples, settings).samples

    grounder = Grounder(
        library=library,
        verifier=ChatVerifier(verifier) if verifier else RuleVerifier(),
        hear=samples_of,
        reprocess=reprocess,
        keeper=ClipKeeper(output / "material" / KEPT),
        generator=SynthGenerator(),
        unusable=(Dropped,),
    )
    return SceneSource(
        Curator(
            planner=(
                ChatPlanner(planner, recipe.scenes)
                if planner
                else RulePlanner(recipe.scenes, available)
            ),
            refiner=ChatRefiner(refiner) if refiner else RuleRefiner(),
            grounder=grounder,
        ),
        sounds,
    )
