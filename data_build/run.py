"""The whole build, in order. To recover from an interruption, run the same command again.

::

    sources, texts, cues ─▶ collect ─▶ tables ─▶ jobs ─▶ shards ─▶ index ─▶ self-check ─▶ summary
                                                 (clips are read or made when a stream needs them)
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from data_build.audit.audit import audit, build_measures, built_split
from data_build.audit.recognised import Recognisers
from data_build.collect.collect import Collected, collect, collected_before
from data_build.collect.feasible import REMEDY
from data_build.context import MATERIAL, BuildContext, build_context
from data_build.drops import Drop, count_drops
from data_build.processes import n_workers, spread
from data_build.recipe import BuildRecipe
from data_build.report.documents import RECIPE_FILE, write_documents
from data_build.report.summary import BuildSummary, SplitSummary, summarise
from data_build.scenes.source import open_models
from data_build.selfcheck import self_check
from data_build.shard_job import (
    ShardJob,
    build_shard,
    build_stream,
    counted,
    plan_jobs,
    set_up,
    stream_id,
)
from data_build.sources.source import ALL_ROWS, WorkerShard
from data_build.statistics import Statistics, merged
from soundflow.atomic import write_text
from soundflow.config.record import record
from soundflow.errors import UserError
from soundflow.shards.sidecar import ShardInfo
from soundflow.shards.writer import INDEX_NAME, finished_shard, write_index, write_shard

Progress = Callable[[str, int, int], None]
DROPS_FILE, AUDIT_FILE = "drops.jsonl", "audit.json"
_REASONS_SHOWN, _REASON_LETTERS = 3, 160


@dataclass(frozen=True)
class PartDone:
    """The result of one part of a build.

    Attributes:
        made, kept: shards of this part made now, and there already.
        waiting: shards of other parts that do not exist yet.
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

    A shard is the same in any process, so the number of parts may change from run to run. The
    part that finds all shards there writes index and summary; two that do so at once write the
    same files.

    Raises:
        UserError: as `build`; too many drops are found by the part that finishes.
    """
    started = time.monotonic()
    output = Path(recipe.output)
    open_models(recipe.scenes)  # what is missing is said before any work begins
    record(output / RECIPE_FILE, recipe)

    known = None if part == ALL_ROWS else collected_before(recipe, output / MATERIAL)
    collected = known or collect(recipe, output / MATERIAL)
    write_drops(output / DROPS_FILE, list(collected.drops))
    require_material(recipe, collected)
    context = build_context(recipe)
    jobs = plan_jobs(context)
    mine = [job for i, job in enumerate(jobs) if part.takes(i)]
    shards, made = build_jobs(recipe, mine, progress or _nobody)
    others = [job for job in jobs if job not in shards]
    found = finished_jobs(recipe, others, verify=False)
    if len(found) == len(others):  # this part finishes the build, so it looks at what is in them
        found = finished_jobs(recipe, others)
    shards |= found
    waiting = len(jobs) - len(shards)
    summary = None
    if not waiting:
        shards = {job: shards[job] for job in jobs}
        summary = finish(context, collected, shards, set(made), started)
    return PartDone(len(made), len(mine) - len(made), waiting, summary)


def require_material(recipe: BuildRecipe, collected: Collected) -> None:
    """Stops a build that cannot succeed before any shard is made.

    Raises:
        UserError: if a task has no material, or the sources alone have lost more
            items than the recipe allows.
    """
    drops = list(collected.drops)
    if collected.problems:
        raise UserError("; ".join(collected.problems), _most_often(recipe, drops))
    require_few_losses(recipe, collected, drops)


def finish(
    context: BuildContext,
    collected: Collected,
    shards: dict[ShardJob, ShardInfo],
    made: set[ShardJob],
    started: float,
) -> BuildSummary:
    """The last step, once every shard is there: quarantine list, index, self-check, documents.

    Raises:
        UserError: if more items were dropped than the recipe allows.
    """
    recipe, output = context.recipe, Path(context.recipe.output)
    spec = context.vocabulary.spec
    drops, statistics = list(collected.drops), {split: Statistics() for split in recipe.splits}
    for job, info in shards.items():
        in_shard, lost = counted(info)
        statistics[job.split].merge(in_shard)
        drops += lost
    drops = write_drops(output / DROPS_FILE, drops)
    require_few_losses(recipe, collected, drops)

    by_split = {
        split: [info for job, info in shards.items() if job.split == split]
        for split in recipe.splits
    }
    for split, infos in by_split.items():
        write_index(output / split, spec, infos)
        self_check(output / split, context.vocabulary)

    # Without recognisers: this takes seconds, not the time of another build.
    taken = build_measures(recipe.audit, context.policy, context.vocabulary, Recognisers())
    folders = [output / split for split in recipe.splits]
    card = audit(str(output), map(built_split, folders), taken, recipe.audit.sampled)

    splits = {
        split: SplitSummary.of(statistics[split], sum(i.n_bytes for i in infos), spec.time)
        for split, infos in by_split.items()
    }
    summary = summarise(
        splits, collected, drops, (len(made), len(shards) - len(made)),
        spec.time.seconds(sum(e.n_samples for job in made for e in shards[job].samples)),
        time.monotonic() - started, card.missed,
    )  # fmt: skip
    write_text(output / "summary.json", json.dumps(asdict(summary), indent=1))
    write_text(output / AUDIT_FILE, json.dumps(card.to_json(), indent=1))
    write_documents(recipe, summary, merged(statistics.values()), by_split, card, spec)
    return summary


def rebuild(recipe: BuildRecipe, name: str) -> Path:
    """One stream of a build alone, the same bytes, from its id.

    Returns:
        A folder with a shard of that one stream, beside the splits.

    Raises:
        UserError: if the recipe has no such stream, or it was dropped.
    """
    split, _, number = name.rpartition("-")
    streams = recipe.splits[split].streams if split in recipe.splits else 0
    if not number.isdecimal() or int(number) >= streams or stream_id(split, int(number)) != name:
        ids = [
            f"{stream_id(split, 0)} to {stream_id(split, config.streams - 1)}"
            for split, config in recipe.splits.items()
        ]
        raise UserError(f"the recipe makes no stream {name!r}", f"it makes {', '.join(ids)}")
    require_material(recipe, collect(recipe, Path(recipe.output) / MATERIAL))
    context = build_context(recipe)
    sample, drops = build_stream(context, split, int(number))
    if sample is None:
        raise UserError(f"{name} was dropped: {drops[-1].reason}")
    folder = Path(recipe.output) / "only" / name
    shard = write_shard(folder, 0, name, [sample], context.vocabulary.spec)
    write_index(folder, context.vocabulary.spec, [shard])
    return folder


def build_jobs(
    recipe: BuildRecipe, jobs: list[ShardJob], progress: Progress
) -> tuple[dict[ShardJob, ShardInfo], list[ShardJob]]:
    """Every shard, and which of them were made now."""
    shards = finished_jobs(recipe, jobs)
    todo = [job for job in jobs if job not in shards]
    for split in {
        job.split for job in todo
    }:  # until it is finished again, nothing calls it finished
        (Path(recipe.output) / split / INDEX_NAME).unlink(missing_ok=True)
    progress("shards", len(shards), len(jobs))
    for position, info in spread(build_shard, todo, n_workers(recipe.workers), set_up, (recipe,)):
        shards[todo[position]] = info
        progress("shards", len(shards), len(jobs))
    return {job: shards[job] for job in jobs}, todo


def finished_jobs(
    recipe: BuildRecipe, jobs: list[ShardJob], *, verify: bool = True
) -> dict[ShardJob, ShardInfo]:
    """The finished shards, from any run.

    Args:
        verify: whether each is read through; a damaged one is set aside and does not count.
    """
    output = Path(recipe.output)
    found = {
        job: finished_shard(output / job.split, job.number, job.shard_key, verify=verify)
        for job in jobs
    }
    return {job: info for job, info in found.items() if info is not None}


def write_drops(path: Path, drops: list[Drop]) -> list[Drop]:
    """Writes every dropped item once, in order, with its step and reason; returns these."""
    unique = list(dict.fromkeys(drops))
    write_text(path, "".join(json.dumps(asdict(d), sort_keys=True) + "\n" for d in unique))
    return unique


def require_few_losses(recipe: BuildRecipe, collected: Collected, drops: list[Drop]) -> None:
    """Checks the share of lost items, of all rows and streams, against the recipe's limit.

    Raises:
        UserError: if it is above; what a policy sets aside is not counted.
    """
    lost = [drop for drop in drops if drop.kind == "loss"]
    rows = collected.clips + sum(drop.kind == "loss" for drop in collected.drops)
    items = rows + sum(split.streams for split in recipe.splits.values())
    if len(lost) > recipe.max_dropped_share * items:
        raise UserError(
            f"{len(lost)} of {items} rows and streams were dropped, more than max_dropped_share="
            f"{recipe.max_dropped_share:g} allows",
            f"{_most_often(recipe, lost)}; fix the sources, or raise max_dropped_share",
        )


def _most_often(recipe: BuildRecipe, drops: list[Drop]) -> str:
    """The most frequent reasons, and the file with all of them."""
    if not drops:
        return REMEDY
    counts = list(count_drops(drops).items())[:_REASONS_SHOWN]
    reasons = "; ".join(f"{reason[:_REASON_LETTERS]} ({n})" for reason, n in counts)
    return f"most often dropped: {reasons}; all of them stand in {recipe.output}/{DROPS_FILE}"


def _nobody(stage: str, done: int, total: int) -> None:
    """No progress is shown."""
