"""The work unit: one shard, from its number to its bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from data_build.compose.loudness import Float32
from data_build.compose.stream import compose
from data_build.material.library import Library
from data_build.plan import plan_stream
from data_build.recipe import BuildRecipe
from data_build.records import Clip, Drop
from data_build.seeding import generator
from data_build.tokenize import Vocabulary, read_vocabulary
from soundflow.audio.files import read_audio
from soundflow.errors import UserError
from soundflow.shards.schema import StreamSample
from soundflow.shards.writer import ShardInfo, write_shard

_CACHED_CLIPS = 4_000  # about 250 MB of two-second clips


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
    limited: int = 0
    abilities: dict[str, int] = field(default_factory=dict)
    replies: int = 0
    silences: int = 0
    events: int = 0

    def add(self, sample: StreamSample, n_chunks: int) -> None:
        record = sample.record
        self.limited += bool(record.provenance["mix"]["limited"])
        name = f"{record.ability}/{record.task}"
        self.abilities[name] = self.abilities.get(name, 0) + 1
        self.replies += len(record.replies)
        self.silences += n_chunks - len(record.replies)
        self.events += len(record.events)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Workbench:
    """What every unit of a build shares; made once in each process."""

    recipe: BuildRecipe
    libraries: dict[str, Library]
    vocabulary: Vocabulary


_bench: Workbench | None = None


def set_up(recipe: BuildRecipe, libraries: dict[str, Library]) -> None:
    """Prepares this process for `build_unit`."""
    global _bench
    _bench = Workbench(recipe, libraries, read_vocabulary(recipe.vocabulary))


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
        made = build_stream(bench, unit, number, read_clip)
        if isinstance(made, Drop):
            tally.drops.append(made)
        else:
            tally.add(made, time.chunks_in(len(made.pcm)))
            yield made
    extra.update(tally.to_json())


def build_stream(
    bench: Workbench, unit: Unit, number: int, read: Callable[[Clip], Float32]
) -> StreamSample | Drop:
    """One stream, from (seed, key of the unit, number) alone."""
    recipe, library = bench.recipe, bench.libraries[unit.split]
    rng = generator(recipe.seed, unit.key, number)
    plan = plan_stream(recipe, unit.split, number, library, rng)
    provenance = {"seed": recipe.seed, "unit": asdict(unit), "number": number}
    try:
        sample, _ = compose(
            plan,
            (library.event_noise, library.ambient_noise),
            read,
            recipe.compose,
            bench.vocabulary,
            rng,
            provenance,
        )
    except UserError as error:
        return Drop("compose", plan.id, error.message)
    return sample


@lru_cache(maxsize=_CACHED_CLIPS)
def _read(path: str, start_s: float, end_s: float | None) -> Float32:
    samples = read_audio(path, start_s=start_s, end_s=end_s)
    samples.setflags(write=False)  # shared by every stream that uses the clip
    return samples


def read_clip(clip: Clip) -> Float32:
    """The samples of a clip, decoded once while it stays in the cache."""
    return _read(clip.audio.path, clip.audio.start_s, clip.audio.end_s)
