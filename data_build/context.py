"""What all shards of a build share: recipe, pools of each split, and the sources of material."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from data_build.chat_use import Deciders
from data_build.collect.collect import CHAT_CACHE, scene_library
from data_build.labelling.policy import Policy
from data_build.labelling.tagger_timer import TaggerTimer
from data_build.pools.pools import Pools, PoolsIndex, open_pools
from data_build.pools.prepare import Preparer
from data_build.recipe import BuildRecipe
from data_build.scenes.onnx_models import open_tagger
from data_build.scenes.source import SceneSource, scene_source
from data_build.speech.render import Tally
from data_build.speech.rewriting.rewriter import ChatRewriter
from data_build.speech.setup import make_aligners, speech_sources
from data_build.speech.word_times import Aligner
from data_build.tasks.context import PlannerResources
from data_build.tasks.table import needs_of, needs_word_times
from data_build.tasks.word_timer import WordTimer
from data_build.tfjp.spectrum import TfjpConfig
from data_build.tokenize import Vocabulary, read_vocabulary
from data_build.wording.paraphrase import read_paraphrases, with_paraphrases
from data_build.wording.wording import SplitWording

MATERIAL, CACHE = "material", "cache"  # folders beside the splits
WORDS = "words"  # word times, in the cache
SCENE_CLIPS = "kept"  # what scenes have generated or reprocessed


@dataclass(frozen=True)
class SplitContext:
    """A split: its data, its sources of speech and scenes, and its wording."""

    pools: Pools
    resources: PlannerResources
    wording: SplitWording


@dataclass(frozen=True)
class BuildContext:
    """What every job of a build shares; made once in each process.

    Attributes:
        spoken: counts the texts that are spoken for the job at hand.
    """

    recipe: BuildRecipe
    splits: dict[str, SplitContext]
    vocabulary: Vocabulary
    preparer: Preparer
    policy: Policy
    aligners: Mapping[str, Aligner]
    spoken: Tally


def build_context(recipe: BuildRecipe) -> BuildContext:
    """Opens what `collect` wrote to the output folder; engines and models load at first use."""
    output = Path(recipe.output)
    preparer = Preparer(output / CACHE, recipe.prepare, _ready_timer(recipe))
    aligners = _aligners(recipe)
    timer = WordTimer(
        preparer.unprocessed, aligners, output / CACHE / WORDS, recipe.speech.allow_even
    )
    deciders = Deciders.of(recipe.llm, output / MATERIAL / CHAT_CACHE)
    rewriter = deciders.model("rewrite")
    spoken = Tally()
    speech = speech_sources(
        recipe.speech,
        {name: split.voices for name, split in recipe.splits.items()},
        recipe.seed,
        preparer.clips,
        spoken,
        ChatRewriter(rewriter) if rewriter else None,
    )
    policy = recipe.intervention_policy()
    wording = recipe.read_wording()
    if deciders.model("paraphrase"):
        wording = with_paraphrases(wording, read_paraphrases(output / MATERIAL))
    wordings = recipe.split_wordings(wording)
    splits: dict[str, SplitContext] = {}
    for name in recipe.splits:
        pools = open_pools(output / MATERIAL / name)
        resources = PlannerResources(
            speech=speech[name],
            prepare=preparer.prepare,
            timed=timer.timed,
            scenes=_scenes(recipe, name, pools, preparer, policy, deciders),
            probes=deciders.model("probe"),
        )
        splits[name] = SplitContext(pools, resources, wordings[name])
    vocabulary = read_vocabulary(recipe.vocabulary, recipe.stream)
    return BuildContext(recipe, splits, vocabulary, preparer, policy, aligners, spoken)


def _ready_timer(recipe: BuildRecipe) -> TaggerTimer | None:
    """Measures when recorded sounds can be recognised, where the recipe names a tagger."""
    name = recipe.scenes.tagger
    return TaggerTimer(open_tagger(name), name) if name else None


def _aligners(recipe: BuildRecipe) -> dict[str, Aligner]:
    """Those of the recipe, if a task needs word times."""
    needed = any(needs_word_times(split.tasks) for split in recipe.splits.values())
    return make_aligners(recipe.speech) if needed else {}


def _scenes(
    recipe: BuildRecipe,
    split: str,
    pools: Pools,
    preparer: Preparer,
    policy: Policy,
    deciders: Deciders,
) -> SceneSource | None:
    """The scene source of a split, if a task needs scenes."""
    config = recipe.splits[split]
    if "scenes" not in needs_of(config.tasks, config.offline):
        return None
    folder = Path(recipe.output) / MATERIAL
    return scene_source(
        recipe.scenes,
        pools.sounds,
        scene_library(folder / split, PoolsIndex.read(folder / split)),
        folder / SCENE_CLIPS,
        lambda clip: preparer.prepare(clip).samples,
        recipe.prepare.tfjp or TfjpConfig(),
        deciders,
        lambda sound: policy.verdict(sound) != "borderline",
    )
