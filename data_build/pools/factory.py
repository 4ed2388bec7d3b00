"""From the recipe to who speaks and who plans scenes: rules, or a chat model where it is asked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from data_build.chat.client import ChatClient
from data_build.chat.use import asked_for
from data_build.clip_cache import ClipCache
from data_build.pools.prepare import Preparer
from data_build.recipe import BuildRecipe
from data_build.records import Clip
from data_build.scenes.source import SceneChat, SceneSource, scene_source
from data_build.speech.rewriting.rewriter import ChatRewriter
from data_build.speech.setup import speech_sources
from data_build.speech.speech_source import SpeechSource
from data_build.tfjp.config import TfjpConfig
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
    """The scenes of a split: over its sounds, which the clip library in ``folder`` indexes."""
    planner, refiner, verifier = (
        asked_for(decision, recipe.llm, client) for decision in ("plan", "refine", "verify")
    )

    def samples_of(clip: Clip) -> Float32:
        return preparer.prepare(clip).samples

    return scene_source(
        recipe.scenes,
        sounds,
        library=folder,
        store=output / "material" / KEPT,
        prepare=samples_of,
        tfjp_config=recipe.prepare.tfjp or TfjpConfig(),
        chat=SceneChat(planner, refiner, verifier),
    )
