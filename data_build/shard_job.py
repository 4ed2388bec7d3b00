"""The work job: one shard, from its number to its bytes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from data_build.chat.client import ChatClient
from data_build.chat.use import asked_for, chat_client
from data_build.compose.offline import compose_offline
from data_build.compose.stream import compose
from data_build.drops import Drop, Dropped
from data_build.pools.factory import make_scene_source, make_speech_sources
from data_build.pools.pools import Library, open_library
from data_build.pools.prepare import Preparer
from data_build.pools.split_assignment import CHAT_CACHE
from data_build.quota import quota_key
from data_build.randomness import StreamSeed, digest
from data_build.recipe import BuildRecipe
from data_build.speech.speech_source import SpeechSource
from data_build.statistics import Statistics
from data_build.tasks.offline import plan_offline
from data_build.tasks.planner import plan_stream
from data_build.tasks.taxonomy import FORMS, needs_of
from data_build.tokenize import Vocabulary, read_vocabulary
from soundflow.shards.schema import StreamSample
from soundflow.shards.sidecar import ShardInfo
from soundflow.shards.writer import write_shard

MATERIAL, CACHE = "material", "cache"  # folders beside the splits
_ATTEMPTS = 16
# Raise when the code composes other streams or writes other sidecars from the same recipe: shards
# of the code before are then made anew instead of being kept.
BUILD_VERSION = 2


@dataclass(frozen=True)
class ShardJob:
    """Streams ``first`` to ``first + count`` of a split; ``key`` names their content."""

    split: str
    number: int
    first: int
    count: int
    key: str

    @property
    def shard_key(self) -> str:
        """What a finished shard is known by: its content and the code that composed it."""
        return f"{self.key}-v{BUILD_VERSION}"


@dataclass(frozen=True)
class BuildContext:
    """What every job of a build shares; made once in each process."""

    recipe: BuildRecipe
    libraries: dict[str, Library]
    vocabulary: Vocabulary
    preparer: Preparer


def build_context(recipe: BuildRecipe) -> BuildContext:
    """Opens what `collect` left in the output folder."""
    output = Path(recipe.output)
    preparer = Preparer(output / CACHE, recipe.prepare)
    client = chat_client(recipe.llm, output / MATERIAL / CHAT_CACHE)
    speech = make_speech_sources(recipe, preparer.clips, client)
    return BuildContext(
        recipe,
        {
            split: _library(recipe, split, preparer, client, speech[split])
            for split in recipe.splits
        },
        read_vocabulary(recipe.vocabulary, recipe.stream),
        preparer,
    )


def _library(
    recipe: BuildRecipe,
    split: str,
    preparer: Preparer,
    client: ChatClient | None,
    speech: SpeechSource,
) -> Library:
    """The library of a split, with who plans scenes in it where its tasks ask."""
    output, config = Path(recipe.output), recipe.splits[split]
    return open_library(
        recipe,
        output / MATERIAL,
        split,
        speech_source=speech,
        stage=partial(make_scene_source, recipe, output, preparer, client)
        if "scenes" in needs_of(config.tasks, config.offline)
        else None,
        probes=asked_for("probe", recipe.llm, client),
    )


def plan_jobs(bench: BuildContext) -> list[ShardJob]:
    """The shards to make. A job's key changes with anything that changes its content."""
    recipe, jobs = bench.recipe, []
    for split, config in recipe.splits.items():
        about = (recipe.content(), bench.vocabulary.spec.fingerprint, split, config.content())
        size = recipe.streams_per_shard
        for number, first in enumerate(range(0, config.streams, size)):
            count = min(size, config.streams - first)
            key = digest(about, bench.libraries[split].key, number, count)
            jobs.append(ShardJob(split, number, first, count, key))
    return jobs


_bench: BuildContext | None = None


def set_up(recipe: BuildRecipe) -> None:
    """Prepares this process for `build_shard`."""
    global _bench
    _bench = build_context(recipe)


def build_shard(job: ShardJob) -> ShardInfo:
    """Builds one shard in the process that `set_up` prepared.

    Raises:
        UserError: if the shard cannot be written.
    """
    if _bench is None:
        raise RuntimeError("build_shard before set_up")
    extra: dict[str, Any] = {}
    folder = Path(_bench.recipe.output) / job.split
    samples = _samples(_bench, job, extra)
    return write_shard(folder, job.number, job.shard_key, samples, _bench.vocabulary.spec, extra)


def _samples(bench: BuildContext, job: ShardJob, extra: dict[str, Any]) -> Iterator[StreamSample]:
    """The streams of a job; what was counted and dropped on the way is in ``extra`` at the end."""
    statistics, drops = Statistics(), list[Drop]()
    for number in range(job.first, job.first + job.count):
        sample, bad = build_stream(bench, job.split, number)
        drops += bad
        if sample is not None:
            statistics.add(sample, bench.vocabulary.spec.time)
            yield sample
    extra.update(statistics=asdict(statistics), drops=[asdict(drop) for drop in drops])


def counted(info: ShardInfo) -> tuple[Statistics, list[Drop]]:
    """What the sidecar of a shard says of its streams, and of the items that failed."""
    return Statistics.from_json(info.extra["statistics"]), [
        Drop(**drop) for drop in info.extra["drops"]
    ]


def build_stream(
    bench: BuildContext, split: str, number: int
) -> tuple[StreamSample | None, list[Drop]]:
    """One stream, from (seed, split, number) alone, and the items that failed.

    A plan that meets an unusable item is drawn anew, a few times; then the stream is dropped.

    Raises:
        ServerGone: if a server that the recipe names has stopped answering: what is built stays,
            and the same command goes on once it answers again.
    """
    stream_id = f"{split}-{number:06d}"
    bad: list[Drop] = []
    for attempt in range(_ATTEMPTS):
        seed = StreamSeed(bench.recipe.seed, split, number, attempt)
        try:
            return _stream(bench, stream_id, seed), bad
        except Dropped as dropped:
            bad.append(dropped.drop)
    reason = f"none of {_ATTEMPTS} plans can be used; the last one: {bad[-1].reason}"
    return None, [*bad, Drop("compose", stream_id, reason)]


def _stream(bench: BuildContext, stream_id: str, seed: StreamSeed) -> StreamSample:
    recipe, library = bench.recipe, bench.libraries[seed.split]
    provenance = asdict(seed)
    rng = seed.generator("plan")
    task = quota_key(recipe.splits[seed.split].shares, seed.number)
    prepare = bench.preparer.prepare
    if task in FORMS:
        plan = plan_offline(stream_id, task, recipe.system, library, recipe.abilities, rng)
        return compose_offline(
            plan, prepare, recipe.compose, bench.vocabulary, seed, provenance
        )  # fmt: skip
    planned = plan_stream(stream_id, task, recipe.system, library, recipe.abilities, rng)
    noise = (library.event_noise, library.ambient_noise)
    sample, _ = compose(
        planned, noise, prepare, recipe.compose, bench.vocabulary, seed, provenance
    )  # fmt: skip
    return sample
