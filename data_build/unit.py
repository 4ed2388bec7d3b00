"""The work unit: one shard, from its number to its bytes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from data_build.abilities.planner import plan_stream
from data_build.compose.stream import compose
from data_build.material.library import Library, open_library
from data_build.material.prepare import BadClip, Heard, Preparer
from data_build.recipe import BuildRecipe
from data_build.records import Clip, Drop
from data_build.report_statistics import Statistics
from data_build.seeding import digest, generator
from data_build.spread import spot_in
from data_build.tokenize import Vocabulary, read_vocabulary
from soundflow.config.record import to_plain
from soundflow.protocol.timebase import TimeBase
from soundflow.shards.schema import StreamSample
from soundflow.shards.writer import ShardInfo, write_shard

MATERIAL, CACHE = "material", "cache"  # folders beside the splits
_ATTEMPTS = 16


@dataclass(frozen=True)
class Unit:
    """Streams ``first`` to ``first + count`` of a split; ``key`` names their content."""

    split: str
    number: int
    first: int
    count: int
    key: str


@dataclass
class Tally:
    """What a unit counts while it runs; kept in the sidecar of its shard."""

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
        self.replies += len(record.replies)
        self.silences += n_chunks - len(record.replies)
        self.events += len(record.events)
        self.limited += bool(record.provenance["mix"]["limited"])
        self.statistics.add(sample, time)


@dataclass(frozen=True)
class Workbench:
    """What every unit of a build shares; made once in each process."""

    recipe: BuildRecipe
    libraries: dict[str, Library]
    vocabulary: Vocabulary
    preparer: Preparer


def workbench(recipe: BuildRecipe) -> Workbench:
    """Opens what `collect` left in the output folder."""
    output = Path(recipe.output)
    return Workbench(
        recipe,
        {split: open_library(recipe, output / MATERIAL, split) for split in recipe.splits},
        read_vocabulary(recipe.vocabulary),
        Preparer(output / CACHE, recipe.prepare),
    )


def plan_units(bench: Workbench) -> list[Unit]:
    """The shards to make. A unit's key changes with anything that changes its content."""
    recipe, units = bench.recipe, []
    for split, config in recipe.splits.items():
        shares = {k: v for k, v in to_plain(config).items() if k != "streams"}
        about = (recipe.content(), bench.vocabulary.spec.fingerprint, split, shares)
        size = recipe.streams_per_shard
        for number, first in enumerate(range(0, config.streams, size)):
            count = min(size, config.streams - first)
            key = digest(about, bench.libraries[split].key, number, count)
            units.append(Unit(split, number, first, count, key))
    return units


_bench: Workbench | None = None


def set_up(recipe: BuildRecipe) -> None:
    """Prepares this process for `build_unit`."""
    global _bench
    _bench = workbench(recipe)


def build_unit(unit: Unit) -> ShardInfo:
    """Builds one shard in the process that `set_up` prepared.

    Raises:
        UserError: if the shard cannot be written.
    """
    if _bench is None:
        raise RuntimeError("build_unit before set_up")
    extra: dict[str, Any] = {}
    folder = Path(_bench.recipe.output) / unit.split
    samples = _samples(_bench, unit, extra)
    return write_shard(folder, unit.number, unit.key, samples, _bench.vocabulary.spec, extra)


def _samples(bench: Workbench, unit: Unit, extra: dict[str, Any]) -> Iterator[StreamSample]:
    tally = Tally()
    time = bench.vocabulary.spec.time
    for number in range(unit.first, unit.first + unit.count):
        sample, drops = build_stream(bench, unit, number)
        tally.drops += drops
        if sample is not None:
            tally.add(sample, time)
            yield sample
    extra.update(asdict(tally))


def build_stream(
    bench: Workbench, unit: Unit, number: int
) -> tuple[StreamSample | None, list[Drop]]:
    """One stream, from (seed, key of the unit, number) alone, and the clips that failed.

    A plan that meets a bad clip is drawn anew, a few times; then the stream is dropped.
    """
    recipe, library = bench.recipe, bench.libraries[unit.split]
    stream_id = f"{unit.split}-{number:06d}"
    task = spot_in(recipe.splits[unit.split].tasks, number)
    bad: list[Drop] = []

    def hear(clip: Clip) -> Heard:
        try:
            return bench.preparer.hear(clip)
        except BadClip as error:
            bad.append(Drop("prepare", clip.audio.path or clip.id, str(error)))
            raise

    for attempt in range(_ATTEMPTS):
        rng = generator(recipe.seed, unit.key, number, attempt)
        plan = plan_stream(stream_id, task, recipe.system, library, recipe.abilities, rng)
        provenance = {
            "seed": recipe.seed, "unit": asdict(unit), "number": number, "attempt": attempt,
        }  # fmt: skip
        noise = (library.event_noise, library.ambient_noise)
        try:
            sample, _ = compose(
                plan, noise, hear, recipe.compose, bench.vocabulary, rng, provenance
            )
        except BadClip:
            continue
        return sample, bad
    bad.append(Drop("compose", stream_id, f"every one of {_ATTEMPTS} plans met a bad clip"))
    return None, bad
