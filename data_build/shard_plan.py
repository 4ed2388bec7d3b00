"""Which shards a build makes: for a number of streams, or for as many as last a stated time.

::

    streams: 250  ─▶  100, 100, 50
    hours: 2      ─▶  100, 100, 100, ... as many as are expected to last 2 h; with each finished
                      shard more is known, and at last  100, 100, 37  which last 2 h

The time a stream lasts is known when it is made. So a build plans, makes what is planned and plans
again, until the plan stays as it is. Whatever the first plans were, and whoever made which shard,
the last plan is the same: streams in the order of their numbers, up to the one that completes the
time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from data_build.context import BuildContext
from data_build.expected_length import expected_stream_s
from data_build.randomness import digest
from soundflow.errors import UserError
from soundflow.shards.sidecar import ShardInfo
from soundflow.shards.writer import finished_shard

# Raise when the code composes other streams or writes other sidecars from the same recipe: shards
# of the code before are then made anew instead of being kept.
BUILD_VERSION = 16
COUNT = "count"  # in a sidecar: `ShardJob.count`


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
        """The key of a finished shard: its content and the version of the code."""
        return f"{self.key}-v{BUILD_VERSION}"


@dataclass(frozen=True)
class FinishedShard:
    """What a plan needs to know of a shard that is there; its sidecar has the rest."""

    n_streams: int
    n_samples: int

    @staticmethod
    def of(info: ShardInfo) -> FinishedShard:
        return FinishedShard(len(info.samples), sum(s.n_samples for s in info.samples))


Shards = dict[ShardJob, FinishedShard]


@dataclass(frozen=True)
class Part:
    """Every ``of``-th shard of a build, from ``index`` on: that of one of many tasks."""

    index: int = 0
    of: int = 1

    def __post_init__(self) -> None:
        if self.of < 1 or not 0 <= self.index < self.of:
            raise ValueError(f"part {self.index} of {self.of} is impossible")

    def takes(self, number: int) -> bool:
        return number % self.of == self.index


WHOLE = Part()


def plan_jobs(context: BuildContext, finished: Mapping[ShardJob, FinishedShard]) -> list[ShardJob]:
    """The shards to make, as far as the ``finished`` ones tell; those that are right are in it.

    A job's key changes with anything that changes its content.

    Raises:
        UserError: if hours are asked for and no stream can be made.
    """
    jobs: list[ShardJob] = []
    for split, config in context.recipe.splits.items():
        if config.streams is not None:
            size, job = context.recipe.streams_per_shard, _jobs_of(context, split)
            for number, first in enumerate(range(0, config.streams, size)):
                jobs.append(job(number, min(size, config.streams - first)))
        else:
            jobs += _for_hours(context, split, finished)
    return jobs


def finished_jobs(context: BuildContext, jobs: list[ShardJob], *, verify: bool = True) -> Shards:
    """The finished shards at the places of ``jobs``, from any run.

    In a split of hours, the last shard may hold fewer streams than its job says.

    Args:
        verify: whether each is read through; a damaged one is set aside and does not count.
    """
    found: Shards = {}
    made = {
        split: _jobs_of(context, split)
        for split, config in context.recipe.splits.items()
        if config.hours is not None
    }
    for job in jobs:
        folder = Path(context.recipe.output) / job.split
        same = [job]
        if job.split in made:
            count = _recorded_count(sidecar_path(folder.parent, job))
            if count is not None and count != job.count:
                same.append(made[job.split](job.number, count))
        for one in same:
            info = finished_shard(folder, one.number, one.shard_key, verify=verify)
            if info is not None:
                found[one] = FinishedShard.of(info)
    return found


def sidecar_path(output: Path, job: ShardJob) -> Path:
    """Where the sidecar of a shard is, in the output of its build."""
    return output / job.split / f"{job.number:06d}.json"


def read_sidecar(output: Path, job: ShardJob) -> ShardInfo:
    """The sidecar of a shard that is there.

    Raises:
        UserError: if something has removed or damaged it since.
    """
    path = sidecar_path(output, job)
    try:
        return ShardInfo.read(path)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: {error}", "run the same command again") from error


def stream_id(split: str, number: int) -> str:
    """The name of a stream: unique in a build, and the same in every build of its recipe."""
    return f"{split}-{number:06d}"


def stream_number(name: str) -> int:
    """The number in the name of a stream."""
    return int(name.rpartition("-")[2])


def _for_hours(
    context: BuildContext, split: str, finished: Mapping[ShardJob, FinishedShard]
) -> list[ShardJob]:
    """Shards of a split up to its hours: to the stream if that is known, else as expected."""
    config, size = context.recipe.splits[split], context.recipe.streams_per_shard
    time, make = context.vocabulary.spec.time, _jobs_of(context, split)
    assert config.hours is not None
    wanted = time.samples(config.hours * 3600)
    known = {job.number: (job, shard) for job, shard in finished.items() if job.split == split}
    lasting, number = 0, 0
    jobs: list[ShardJob] = []
    while number in known:
        job, shard = known[number]
        if lasting + shard.n_samples >= wanted:
            for sample in read_sidecar(Path(context.recipe.output), job).samples:
                lasting += sample.n_samples
                if lasting >= wanted:
                    count = stream_number(sample.id) + 1 - job.first
                    return [*jobs, job if job.count == count else make(number, count)]
        lasting += shard.n_samples
        if job.count < size:  # it was the last one when fewer hours were asked for
            break
        jobs.append(job)
        number += 1
    if known and not any(shard.n_streams for _, shard in known.values()):
        raise UserError(
            f"split {split}: none of the first {size * len(known):,} streams could be made",
            "drops.jsonl in the output says why",
        )
    made = [shard for job, shard in known.values() if job.count == size]
    samples = sum(shard.n_samples for shard in made)
    per_shard = size * time.samples(expected_stream_s(context.recipe, split))
    if samples:
        per_shard = samples // len(made)
    expected = max(number + 1, wanted // per_shard)
    return [*jobs, *(make(n, size) for n in range(number, expected))]


def _jobs_of(context: BuildContext, split: str) -> Callable[[int, int], ShardJob]:
    """Makes the jobs of a split, by number and count."""
    recipe, material = context.recipe, context.splits[split]
    content = digest(
        recipe.content(), context.vocabulary.spec.fingerprint, split,
        recipe.splits[split].content(), material.pools.key, material.wording.wording.key,
        sorted((code, aligner.id) for code, aligner in context.aligners.items()),
    )  # fmt: skip
    size = recipe.streams_per_shard
    return lambda number, count: ShardJob(
        split, number, number * size, count, digest(content, number, count)
    )


def _recorded_count(sidecar: Path) -> int | None:
    """How many streams a shard was made for; None if there is no such shard."""
    try:
        count = ShardInfo.read(sidecar).extra.get(COUNT)
    except (OSError, ValueError):
        return None
    return count if isinstance(count, int) else None
