"""The whole build, in order. Running the same command again is the recovery.

::

    sources, phrases, sounds ─▶ tables ─▶ jobs ─▶ shards ─▶ index ─▶ self-check ─▶ summary
                                          (clips are read or made when a stream needs them)
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from data_build.drops import Drop, count_drops
from data_build.pools.pools import Collected, collect, collected_before
from data_build.processes import n_workers, spread
from data_build.recipe import BuildRecipe
from data_build.report.documents import write_documents
from data_build.report.summary import BuildSummary, SplitSummary, summarise
from data_build.scenes.source import open_models
from data_build.selfcheck import self_check
from data_build.shard_job import (
    MATERIAL,
    BuildContext,
    ShardJob,
    build_context,
    build_shard,
    build_stream,
    counted,
    plan_jobs,
    set_up,
)
from data_build.sources.source import ALL_ROWS, WorkerShard
from data_build.statistics import merged
from soundflow.atomic import write_text
from soundflow.config.record import record
from soundflow.errors import UserError
from soundflow.shards.schema import StreamSample
from soundflow.shards.sidecar import ShardInfo
from soundflow.shards.writer import INDEX_NAME, finished_shard, write_index, write_shard

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class PartDone:
    """What one part of a build came to.

    Attributes:
        made, kept: shards of this part made now, and there already.
        waiting: shards of other parts that are not there yet.
        summary: of the whole build, where this part found every shard there and finished it.
    """

    made: int
    kept: int
    waiting: int
    summary: BuildSummary | None


def build(recipe: BuildRecipe, *, progress: Progress | None = None) -> BuildSummary:
    """Builds every split of ``recipe``, keeping the shards that are there already.

    Args:
        progress: called with (stage, done, total) while the build runs.

    Raises:
        UserError: if the output cannot be written, a source cannot be read, or more items were
            dropped than the recipe allows (what was built stays; no index declares it finished).
    """
    done = build_part(recipe, ALL_ROWS, progress=progress)
    if done.summary is None:
        raise RuntimeError(f"a whole build waits for {done.waiting} shards")
    return done.summary


def build_part(
    recipe: BuildRecipe, part: WorkerShard, *, progress: Progress | None = None
) -> PartDone:
    """Builds every ``part.of``-th shard, as one of many tasks that share the output folder.

    A shard is the same whoever makes it, so the number of parts may change from run to run. The
    part that finds all shards there writes index and summary; two that do so at once write the
    same files.

    Raises:
        UserError: as `build`; too many drops are found by the part that finishes.
    """
    started = time.monotonic()
    output = Path(recipe.output)
    open_models(recipe.scenes)  # what is missing is said before any work begins
    record(output / "recipe.yaml", recipe)

    known = None if part == ALL_ROWS else collected_before(recipe, output / MATERIAL)
    collected = known or collect(recipe, output / MATERIAL)
    bench = build_context(recipe)
    jobs = plan_jobs(bench)
    mine = [u for i, u in enumerate(jobs) if part.takes(i)]
    shards, made = build_jobs(recipe, mine, progress or _nobody)
    others = [u for u in jobs if u not in shards]
    found = finished_jobs(recipe, others, verify=False)
    if len(found) == len(others):  # this part finishes the build, so it looks at what is in them
        found = finished_jobs(recipe, others)
    shards |= found
    waiting = len(jobs) - len(shards)
    summary = None
    if not waiting:
        shards = {u: shards[u] for u in jobs}
        summary = finish(recipe, bench, collected, shards, set(made), started)
    return PartDone(len(made), len(mine) - len(made), waiting, summary)


def finish(
    recipe: BuildRecipe,
    bench: BuildContext,
    collected: Collected,
    shards: dict[ShardJob, ShardInfo],
    made: set[ShardJob],
    started: float,
) -> BuildSummary:
    """The last step, once every shard is there: quarantine list, index, self-check, documents.

    Raises:
        UserError: if more items were dropped than the recipe allows.
    """
    output = Path(recipe.output)
    by_shard = {u: counted(info) for u, info in shards.items()}
    dropped = [*collected.drops, *(d for _, drops in by_shard.values() for d in drops)]
    dropped = write_drops(output / "drops.jsonl", dropped)
    require_few_losses(recipe, dropped, collected.clips + sum(u.count for u in shards))

    spec = bench.vocabulary.spec
    for split in recipe.splits:
        write_index(output / split, spec, [info for u, info in shards.items() if u.split == split])
        self_check(output / split, bench.vocabulary)

    by_split = {n: [i for u, i in shards.items() if u.split == n] for n in recipe.splits}
    statistics = {
        n: merged(counted for u, (counted, _) in by_shard.items() if u.split == n)
        for n in recipe.splits
    }
    splits = {
        n: SplitSummary.of(statistics[n], sum(i.n_bytes for i in by_split[n]), spec.time)
        for n in recipe.splits
    }
    summary = summarise(
        splits, collected, dropped, (len(made), len(shards) - len(made)),
        spec.time.seconds(sum(e.n_samples for u in made for e in shards[u].samples)),
        time.monotonic() - started,
    )  # fmt: skip
    write_text(output / "summary.json", json.dumps(asdict(summary), indent=1))
    write_documents(recipe, summary, merged(statistics.values()), by_split, spec)
    return summary


def rebuild(recipe: BuildRecipe, stream_id: str) -> Path:
    """One stream of a build alone, the same bytes, from its id.

    Returns:
        A folder with a shard of that one stream, beside the splits.

    Raises:
        UserError: if the recipe has no such stream, or it was dropped.
    """
    sample, job, bench = _rebuilt(recipe, stream_id)
    folder = Path(recipe.output) / "only" / stream_id
    shard = write_shard(folder, 0, job.shard_key, [sample], bench.vocabulary.spec)
    write_index(folder, bench.vocabulary.spec, [shard])
    return folder


def _rebuilt(recipe: BuildRecipe, stream_id: str) -> tuple[StreamSample, ShardJob, BuildContext]:
    collect(recipe, Path(recipe.output) / MATERIAL)
    bench = build_context(recipe)
    for job in plan_jobs(bench):
        for number in range(job.first, job.first + job.count):
            if f"{job.split}-{number:06d}" == stream_id:
                sample, drops = build_stream(bench, job.split, number)
                if sample is None:
                    raise UserError(f"{stream_id} was dropped: {drops[-1].reason}")
                return sample, job, bench
    raise UserError(f"the recipe makes no stream {stream_id!r}", "ids read like train-000123")


def build_jobs(
    recipe: BuildRecipe, jobs: list[ShardJob], progress: Progress
) -> tuple[dict[ShardJob, ShardInfo], list[ShardJob]]:
    """Every shard, and which of them were made now."""
    shards = finished_jobs(recipe, jobs)
    todo = [u for u in jobs if u not in shards]
    for split in {u.split for u in todo}:  # until it is finished again, nothing calls it finished
        (Path(recipe.output) / split / INDEX_NAME).unlink(missing_ok=True)
    progress("shards", len(shards), len(jobs))
    for position, info in spread(build_shard, todo, n_workers(recipe.workers), set_up, (recipe,)):
        shards[todo[position]] = info
        progress("shards", len(shards), len(jobs))
    return {u: shards[u] for u in jobs}, todo


def finished_jobs(
    recipe: BuildRecipe, jobs: list[ShardJob], *, verify: bool = True
) -> dict[ShardJob, ShardInfo]:
    """The shards that lie there already, whoever made them.

    Args:
        verify: whether each is read through; a damaged one is set aside and does not count.
    """
    output = Path(recipe.output)
    found = {
        u: finished_shard(output / u.split, u.number, u.shard_key, verify=verify) for u in jobs
    }
    return {u: info for u, info in found.items() if info is not None}


def write_drops(path: Path, drops: list[Drop]) -> list[Drop]:
    """Writes every dropped item once, in order, with its step and reason; returns these."""
    unique = list(dict.fromkeys(drops))
    write_text(path, "".join(json.dumps(asdict(d), sort_keys=True) + "\n" for d in unique))
    return unique


def require_few_losses(recipe: BuildRecipe, drops: list[Drop], items: int) -> None:
    """Checks the share of lost items, of all clips and streams, against the recipe's ceiling.

    Raises:
        UserError: if it is above; what a policy sets aside is not counted.
    """
    lost = count_drops(d for d in drops if d.kind == "loss")
    dropped = sum(lost.values())
    if dropped > recipe.max_dropped_share * items:
        worst = next(iter(lost))
        raise UserError(
            f"{dropped} of {items} clips and streams were dropped, more than max_dropped_share="
            f"{recipe.max_dropped_share:g}; most often: {worst}",
            f"see {recipe.output}/drops.jsonl; mend the sources, or raise max_dropped_share",
        )


def _nobody(stage: str, done: int, total: int) -> None:
    """No one watches."""
