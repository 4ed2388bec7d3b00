"""The whole build, in order. To recover from an interruption, run the same command again.

::

    sources, texts, cues ─▶ collect ─▶ tables ─▶ jobs ─▶ shards ─▶ index ─▶ self-check ─▶ summary
                                                 (clips are read or made when a stream needs them)
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from data_build.audit.audit import audit, build_measures, built_split
from data_build.audit.recognised import Recognisers
from data_build.collect.collect import Collected, collect, collected_before
from data_build.collect.feasible import REMEDY, require_speech
from data_build.context import MATERIAL, BuildContext, build_context
from data_build.credits import Credits
from data_build.drops import DropsFile, Fault, by_reason, fault_of
from data_build.expected_length import expected_streams
from data_build.processes import Progress, n_workers, spread, unseen
from data_build.recipe import BuildRecipe
from data_build.report.documents import RECIPE_FILE, write_documents
from data_build.report.summary import BuildSummary, SplitSummary, summarise
from data_build.scenes.source import open_models
from data_build.selfcheck import self_check
from data_build.shard_job import Counted, build_shard, build_stream, set_up
from data_build.shard_plan import (
    WHOLE,
    FinishedShard,
    Part,
    ShardJob,
    Shards,
    finished_jobs,
    plan_jobs,
    read_sidecar,
    stream_id,
)
from data_build.statistics import Statistics, merged
from soundflow.atomic import write_text
from soundflow.config.record import record
from soundflow.errors import UserError
from soundflow.shards.writer import INDEX_NAME, IndexedShard, write_index, write_shard

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


def build(recipe: BuildRecipe, *, progress: Progress = unseen) -> BuildSummary:
    """Builds every split of ``recipe``, keeping the shards that are there already.

    Args:
        progress: called with (stage, done, total) while the build runs.

    Raises:
        UserError: if the output cannot be written, a source cannot be read, or more items were
            dropped than the recipe allows (what was built stays; no index declares it finished).
    """
    done = build_part(recipe, WHOLE, progress=progress)
    if done.summary is None:
        raise RuntimeError(f"a whole build waits for {done.waiting} shards")
    return done.summary


def build_part(recipe: BuildRecipe, part: Part, *, progress: Progress = unseen) -> PartDone:
    """Builds the shards of ``part``, as one of many tasks that share the output folder.

    A shard is the same in any process, so the number of parts may change from run to run. The
    part that finds all shards there writes index and summary; two that do so at once write the
    same files.

    Raises:
        UserError: as `build`; too many drops are found by the part that finishes.
    """
    started = time.monotonic()
    output = Path(recipe.output)
    open_models(recipe.scenes)  # what is missing is said before any work begins
    require_speech(recipe)
    record(output / RECIPE_FILE, recipe)

    known = None if part == WHOLE else collected_before(recipe, output / MATERIAL)
    collected = known or collect(recipe, output / MATERIAL, progress)
    with DropsFile(output / DROPS_FILE) as drops:
        drops.add(collected.drops)
    require_material(recipe, collected)
    context = build_context(recipe)
    jobs, shards, made = make_shards(context, part, progress)
    waiting = [job for job in jobs if job not in shards]
    summary = None
    if not waiting:
        summary = finish(context, collected, shards, made, started, progress)
    kept = sum(part.takes(i) and job in shards and job not in made for i, job in enumerate(jobs))
    return PartDone(len(made), kept, len(waiting), summary)


def make_shards(
    context: BuildContext, part: Part, progress: Progress
) -> tuple[list[ShardJob], Shards, set[ShardJob]]:
    """Plans, makes what is planned, and plans again, until the plan stays as it is.

    Returns:
        The last plan; those of it that are there, in its order; those of it that were made now.
        What is missing then is for other parts to make.
    """
    recipe = context.recipe
    shards, made = Shards(), set[ShardJob]()
    while True:
        jobs = plan_jobs(context, shards)
        mine = {job for i, job in enumerate(jobs) if part.takes(i)}
        unknown = [job for job in jobs if job not in shards]
        found = finished_jobs(context, [job for job in unknown if job in mine])
        found |= finished_jobs(context, [job for job in unknown if job not in mine], verify=False)
        if not found.keys() <= shards.keys():
            shards |= found
            continue  # what is there may change the plan
        todo = [job for job in unknown if job in mine]
        if not todo:
            break
        for job, shard in build_jobs(recipe, todo, progress, (len(shards), len(jobs))):
            shards[job] = shard
            made.add(job)
    if all(job in shards for job in jobs):  # this part finishes the build: it reads all of it
        theirs = [job for job in jobs if job not in mine]
        verified = finished_jobs(context, theirs)
        for job in theirs:
            if job not in verified:
                del shards[job]
    return jobs, {job: shards[job] for job in jobs if job in shards}, made & set(jobs)


def require_material(recipe: BuildRecipe, collected: Collected) -> None:
    """Stops a build that cannot succeed before any shard is made.

    Raises:
        UserError: if a task has no material, or the sources alone have lost more
            items than the recipe allows.
    """
    counts = Counter(map(fault_of, collected.drops))
    if collected.problems:
        first = f"; the first: {collected.drops[0].item}" if collected.drops else ""
        hint = f"{_most_often(recipe, counts)}{first}"
        raise UserError("\n".join(collected.problems), hint)
    lengths_s = collected.lengths_s
    streams = sum(expected_streams(recipe, split, lengths_s) for split in recipe.splits)
    require_few_losses(recipe, collected, counts, streams)


def finish(
    context: BuildContext,
    collected: Collected,
    shards: Shards,
    made: set[ShardJob],
    started: float,
    progress: Progress,
) -> BuildSummary:
    """The last step, once every shard is there: list of drops, index, self-check, documents.

    Sidecars are read one by one: a corpus may have millions of streams.

    Raises:
        UserError: if more items were dropped than the recipe allows.
    """
    recipe, output = context.recipe, Path(context.recipe.output)
    spec = context.vocabulary.spec
    statistics = {split: Statistics() for split in recipe.splits}
    with Credits() as credits:
        with DropsFile(output / DROPS_FILE) as drops:
            drops.add(collected.drops)
            for job in shards:
                counted = Counted.of(read_sidecar(output, job))
                statistics[job.split].merge(counted.statistics)
                credits.add(counted.clips)
                drops.add(counted.drops)
        require_few_losses(recipe, collected, drops.counts, sum(job.count for job in shards))

        indexed: dict[str, list[IndexedShard]] = {}
        for split in recipe.splits:
            infos = (read_sidecar(output, job) for job in shards if job.split == split)
            indexed[split] = write_index(output / split, spec, infos)
            self_check(output / split, context.vocabulary)

        # Without recognisers: this takes seconds, not the time of another build.
        taken = build_measures(recipe.audit, context.policy, context.vocabulary, Recognisers())
        splits = (built_split(output / split) for split in recipe.splits)
        card = audit(
            str(output), splits, taken, recipe.audit.sampled,
            lambda split, done, total: progress(f"audit of {split}", done, total),
        )  # fmt: skip

        total = merged(statistics.values())
        summary = summarise(
            {
                split: SplitSummary.of(statistics[split], sum(s.n_bytes for s in listed), spec.time)
                for split, listed in indexed.items()
            },
            collected, by_reason(drops.counts), total.refusals(),
            (len(made), len(shards) - len(made)),
            spec.time.seconds(sum(shards[job].n_samples for job in made)),
            time.monotonic() - started, card.missed,
        )  # fmt: skip
        write_text(output / "summary.json", json.dumps(asdict(summary), indent=1))
        write_text(output / AUDIT_FILE, json.dumps(card.to_json(), indent=1))
        write_documents(recipe, summary, total, credits, indexed, card, spec)
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
    beyond = streams is not None and number.isdecimal() and int(number) >= streams
    if not number.isdecimal() or beyond or stream_id(split, int(number)) != name:
        ids = [
            f"{stream_id(split, 0)} to {stream_id(split, config.streams - 1)}"
            if config.streams is not None
            else f"{stream_id(split, 0)} and on"
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
    recipe: BuildRecipe, jobs: list[ShardJob], progress: Progress, counted: tuple[int, int]
) -> Iterator[tuple[ShardJob, FinishedShard]]:
    """Makes shards; yields each as it is finished.

    Args:
        counted: how many of the shards of the plan are there before, and how many it has.
    """
    done, planned = counted
    for split in {job.split for job in jobs}:  # until it is finished again, nothing calls it so
        (Path(recipe.output) / split / INDEX_NAME).unlink(missing_ok=True)
    progress("shards", done, planned)
    for position, shard in spread(build_shard, jobs, n_workers(recipe.workers), set_up, (recipe,)):
        done += 1
        yield jobs[position], shard
        progress("shards", done, planned)


def require_few_losses(
    recipe: BuildRecipe, collected: Collected, counts: Mapping[Fault, int], streams: int
) -> None:
    """Checks the share of lost items, of all rows and ``streams``, against the recipe's limit.

    Raises:
        UserError: if it is above; what a policy sets aside is not counted.
    """
    lost = {fault: n for fault, n in counts.items() if fault.kind == "loss"}
    rows = collected.clips + sum(drop.kind == "loss" for drop in collected.drops)
    items, n_lost = rows + streams, sum(lost.values())
    if n_lost > recipe.max_dropped_share * items:
        raise UserError(
            f"{n_lost} of {items} rows and streams were dropped, more than max_dropped_share="
            f"{recipe.max_dropped_share:g} allows",
            f"{_most_often(recipe, lost)}; fix the sources, or raise max_dropped_share",
        )


def _most_often(recipe: BuildRecipe, counts: Mapping[Fault, int]) -> str:
    """The most frequent reasons, and the file with all of them."""
    if not counts:
        return REMEDY
    most = list(by_reason(counts).items())[:_REASONS_SHOWN]
    reasons = "; ".join(f"{reason[:_REASON_LETTERS]} ({n})" for reason, n in most)
    return f"most often dropped: {reasons}; all of them stand in {recipe.output}/{DROPS_FILE}"
