"""The job that builds one shard, from its number to its bytes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from data_build.compose.beds import draw_beds
from data_build.compose.offline import compose_offline
from data_build.compose.stream import compose
from data_build.compose.timeline import lay_out
from data_build.context import BuildContext, build_context
from data_build.credits import Uses
from data_build.drops import Drop, Dropped, Report
from data_build.labelling.label import fits_under, label
from data_build.randomness import StreamSeed
from data_build.recipe import BuildRecipe
from data_build.shard_plan import COUNT, FinishedShard, ShardJob, stream_id
from data_build.statistics import Statistics
from data_build.tasks.context import PlannerContext
from data_build.tasks.table import FORMS, plan_offline, plan_stream
from soundflow.shards.schema import StreamSample
from soundflow.shards.sidecar import ShardInfo
from soundflow.shards.writer import write_shard

_ATTEMPTS = 16
_GOLDEN = 0.6180339887498949

_context: BuildContext | None = None


def set_up(recipe: BuildRecipe) -> None:
    """Prepares this process for `build_shard`."""
    global _context
    _context = build_context(recipe)


def build_shard(job: ShardJob) -> FinishedShard:
    """Builds one shard in the process that `set_up` prepared.

    Raises:
        UserError: if the shard cannot be written.
    """
    if _context is None:
        raise RuntimeError("build_shard before set_up")
    extra: dict[str, Any] = {}
    folder = Path(_context.recipe.output) / job.split
    samples = _samples(_context, job, extra)
    spec = _context.vocabulary.spec
    return FinishedShard.of(write_shard(folder, job.number, job.shard_key, samples, spec, extra))


def _samples(context: BuildContext, job: ShardJob, extra: dict[str, Any]) -> Iterator[StreamSample]:
    """The streams of a job; counts and drops are in ``extra`` at the end."""
    statistics, uses, drops = Statistics(), Uses(), list[Drop]()
    context.spoken.clear()
    for number in range(job.first, job.first + job.count):
        sample, bad = build_stream(context, job.split, number)
        drops += bad
        if sample is not None:
            statistics.add(sample, context.vocabulary.spec.time)
            uses.add(sample.record)
            yield sample
    statistics.spoken.update(context.spoken.asked)
    statistics.refused.update(context.spoken.refused)
    extra |= {
        COUNT: job.count,
        "statistics": asdict(statistics),
        "clips": uses.to_json(),
        "drops": [asdict(drop) for drop in drops],
    }


@dataclass(frozen=True)
class Counted:
    """What the sidecar of a shard counts: its streams, the uses of clips, what was dropped."""

    statistics: Statistics
    clips: list[dict[str, Any]]
    drops: list[Drop]

    @staticmethod
    def of(info: ShardInfo) -> Counted:
        extra = info.extra
        return Counted(
            Statistics.from_json(extra["statistics"]),
            extra["clips"],
            [Drop(**drop) for drop in extra["drops"]],
        )


def build_stream(
    context: BuildContext, split: str, number: int
) -> tuple[StreamSample | None, list[Drop]]:
    """One stream, from (seed, split, number) alone, and the items that failed.

    A plan with an unusable item is drawn again, a few times; then the stream is dropped.

    Raises:
        ServerGone: if a server that the recipe names has stopped answering: what is built stays,
            and the same command resumes once it responds again.
    """
    bad: list[Drop] = []
    for attempt in range(_ATTEMPTS):
        try:
            seed = StreamSeed(context.recipe.seed, split, number, attempt)
            return _stream(context, seed, bad.append), bad
        except Dropped as dropped:
            bad.append(dropped.drop)
    reason = f"none of {_ATTEMPTS} plans can be used; the last one: {bad[-1].reason}"
    return None, [*bad, Drop("compose", stream_id(split, number), reason)]


def _stream(context: BuildContext, seed: StreamSeed, report: Report) -> StreamSample:
    recipe, vocabulary = context.recipe, context.vocabulary
    split, prepare = context.splits[seed.split], context.preparer.prepare
    name, provenance = stream_id(seed.split, seed.number), asdict(seed)
    words = split.wording.stream(*asdict(seed).values())
    planning = PlannerContext.of(
        split.pools, split.resources, recipe.tasks, recipe.longest_speech_s, seed, words, report
    )
    task = quota_key(recipe.splits[seed.split].weights, seed.number)
    if task in FORMS:
        offline = plan_offline(name, task, recipe.system, planning)
        return compose_offline(offline, prepare, recipe.compose, vocabulary, seed, provenance)
    plan = plan_stream(name, task, recipe.system, planning)
    timeline = lay_out(plan, prepare, recipe.compose, vocabulary.spec.time, seed)
    noise = (split.pools.event_noise, split.pools.ambient_noise)
    under = fits_under(timeline.plan, context.policy)
    beds = draw_beds(timeline.n_samples, noise, under, prepare, recipe.compose.noise, seed)
    timeline = replace(timeline, beds=beds)
    labelled = label(timeline.plan, timeline.audible(), context.policy, words)
    return compose(labelled, timeline, recipe.compose, vocabulary, seed, provenance)


def quota_key(weights: Mapping[str, float], number: int) -> str:
    """What stream ``number`` is, without chance: every run of streams meets the weights closely.

    Raises:
        ValueError: if no weight is positive.
    """
    positive = {name: weight for name, weight in weights.items() if weight > 0}
    if not positive:
        raise ValueError(f"no weight is positive in {dict(weights)}")
    at = (0.5 + number * _GOLDEN) % 1.0 * sum(positive.values())
    for name, weight in positive.items():
        at -= weight
        if at < 0:
            return name
    return next(reversed(positive))
