"""The work job: one shard, from its number to its bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from data_build.chat.use import asked_for, chat_client, server_gone
from data_build.compose.offline import compose_offline
from data_build.compose.stream import DoesNotFit, compose
from data_build.drops import Drop, Dropped
from data_build.pools.factory import make_scene_source, make_speech_source
from data_build.pools.pools import Library, open_library
from data_build.pools.prepare import BadClip, PreparedClip, Preparer
from data_build.pools.split_assignment import CHAT_CACHE
from data_build.quota import quota_key
from data_build.randomness import digest, generator
from data_build.recipe import BuildRecipe
from data_build.records import Clip
from data_build.statistics import Statistics
from data_build.tasks.offline import plan_offline
from data_build.tasks.planner import plan_stream
from data_build.tasks.taxonomy import FORMS, needs_of
from data_build.tokenize import Vocabulary, read_vocabulary
from soundflow.errors import UserError
from soundflow.protocol.timebase import TimeBase
from soundflow.shards.schema import StreamSample
from soundflow.shards.sidecar import ShardInfo
from soundflow.shards.writer import write_shard

MATERIAL, CACHE = "material", "cache"  # folders beside the splits
_ATTEMPTS = 16
# Raise when the code composes other streams or writes other sidecars from the same recipe: shards
# of the code before are then made anew instead of being kept.
BUILD_VERSION = 1


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


@dataclass
class Tally:
    """What a job counts while it runs; kept in the sidecar of its shard."""

    drops: list[Drop] = field(default_factory=list)
    tasks: dict[str, int] = field(default_factory=dict)
    replies: int = 0
    silences: int = 0
    events: int = 0
    limited: int = 0
    statistics: Statistics = field(default_factory=Statistics)

    def add(self, sample: StreamSample, time: TimeBase) -> None:
        record, n_chunks = sample.record, time.chunks_in(len(sample.pcm))
        name = f"{record.ability}/{record.task}"
        self.tasks[name] = self.tasks.get(name, 0) + 1
        self.statistics.add(sample, time)
        if record.kind == "offline":
            return
        self.replies += len(record.replies)
        self.silences += n_chunks - len(record.replies)
        self.events += len(record.events)
        self.limited += bool(record.provenance["mix"]["limited"])


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
    return BuildContext(
        recipe,
        {split: _library(recipe, split, preparer) for split in recipe.splits},
        read_vocabulary(recipe.vocabulary, recipe.stream),
        preparer,
    )


def _library(recipe: BuildRecipe, split: str, preparer: Preparer) -> Library:
    """The library of a split with who speaks and who plans scenes in it, where its tasks ask."""
    output, config = Path(recipe.output), recipe.splits[split]
    needs = needs_of(config.tasks, config.offline)
    if not needs - {"cues", "instruction"}:
        return open_library(recipe, output / MATERIAL, split)
    client = chat_client(recipe.llm, output / MATERIAL / CHAT_CACHE)
    return open_library(
        recipe,
        output / MATERIAL,
        split,
        speech_source=make_speech_source(recipe, split, output / CACHE / "speech", client),
        stage=partial(make_scene_source, recipe, output, preparer, client)
        if "scenes" in needs
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
    tally = Tally()
    time = bench.vocabulary.spec.time
    for number in range(job.first, job.first + job.count):
        sample, drops = build_stream(bench, job, number)
        tally.drops += drops
        if sample is not None:
            tally.add(sample, time)
            yield sample
    extra.update(asdict(tally))


def build_stream(
    bench: BuildContext, job: ShardJob, number: int
) -> tuple[StreamSample | None, list[Drop]]:
    """One stream, from (seed, key of the job, number) alone, and the items that failed.

    A plan that meets an unusable item is drawn anew, a few times; then the stream is dropped.

    Raises:
        UserError: if a server that the recipe names has stopped answering: what is built stays,
            and the same command goes on once it answers again.
    """
    recipe = bench.recipe
    stream_id = f"{job.split}-{number:06d}"
    bad: list[Drop] = []
    failure = ""

    def hear(clip: Clip) -> PreparedClip:
        try:
            return bench.preparer.hear(clip)
        except BadClip as error:
            bad.append(Drop("prepare", getattr(clip.audio, "path", clip.id), str(error)))
            raise

    for attempt in range(_ATTEMPTS):
        rng = generator(recipe.seed, job.key, number, attempt)
        provenance = {
            "seed": recipe.seed, "job": asdict(job), "number": number, "attempt": attempt,
        }  # fmt: skip
        try:
            return _stream(bench, job, number, stream_id, hear, rng, provenance), bad
        except Dropped as dropped:
            failure = dropped.drop.reason
            if server_gone(failure):
                raise UserError(
                    f"{stream_id}: a server has stopped answering: {failure}",
                    "start it again and run the same command; finished shards are kept",
                ) from dropped
            bad.append(dropped.drop)
        except (BadClip, DoesNotFit) as error:
            failure = str(error)
    bad.append(Drop("compose", stream_id, f"none of {_ATTEMPTS} plans can be used: {failure}"))
    return None, bad


def _stream(
    bench: BuildContext,
    job: ShardJob,
    number: int,
    stream_id: str,
    hear: Callable[[Clip], PreparedClip],
    rng: np.random.Generator,
    provenance: dict[str, Any],
) -> StreamSample:
    recipe, library = bench.recipe, bench.libraries[job.split]
    task = quota_key(recipe.splits[job.split].shares, number)
    if task in FORMS:
        plan = plan_offline(stream_id, task, recipe.system, library, recipe.abilities, rng)
        return compose_offline(plan, hear, recipe.compose, bench.vocabulary, rng, provenance)
    planned = plan_stream(stream_id, task, recipe.system, library, recipe.abilities, rng)
    noise = (library.event_noise, library.ambient_noise)
    sample, _ = compose(planned, noise, hear, recipe.compose, bench.vocabulary, rng, provenance)
    return sample
