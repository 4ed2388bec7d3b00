"""The whole build, in order. Running the same command again is the recovery.

::

    sources, phrases, sounds ─▶ tables ─▶ units ─▶ shards ─▶ index ─▶ self-check ─▶ summary
                                          (clips are read or made when a stream needs them)
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from data_build.material.library import collect
from data_build.recipe import BuildRecipe
from data_build.records import Drop
from data_build.report import BuildSummary, Counted, count_drops, summarise
from data_build.selfcheck import self_check
from data_build.step import n_workers, spread
from data_build.unit import (
    MATERIAL,
    Unit,
    Workbench,
    build_stream,
    build_unit,
    plan_units,
    set_up,
    workbench,
)
from soundflow.atomic import write_text
from soundflow.config.record import record
from soundflow.errors import UserError
from soundflow.shards.schema import StreamSample
from soundflow.shards.writer import ShardInfo, finished_shard, write_index, write_shard

Progress = Callable[[str, int, int], None]


def build(recipe: BuildRecipe, *, progress: Progress | None = None) -> BuildSummary:
    """Builds every split of ``recipe``, keeping the shards that are there already.

    Args:
        progress: called with (stage, done, total) while the build runs.

    Raises:
        UserError: if the output cannot be written, a source cannot be read, or more items were
            dropped than the recipe allows (what was built stays; no index declares it finished).
    """
    started = time.monotonic()
    output = Path(recipe.output)
    record(output / "recipe.yaml", recipe)

    collected = collect(recipe, output / MATERIAL)
    bench = workbench(recipe)
    units = plan_units(bench)
    shards, made = build_units(recipe, units, progress or _nobody)

    drops = [asdict(d) for d in collected.drops]
    drops += [d for shard in shards.values() for d in shard.extra["drops"]]
    counted = write_drops(output / "drops.jsonl", drops)
    require_few_drops(recipe, counted, collected.clips + sum(u.count for u in units))

    spec = bench.vocabulary.spec
    for split in recipe.splits:
        write_index(output / split, spec, [shards[u] for u in units if u.split == split])
        self_check(output / split, bench.vocabulary)

    seconds = time.monotonic() - started
    summary = summarise(shards, set(made), counted, collected, seconds, spec.time)
    write_text(output / "summary.json", json.dumps(asdict(summary), indent=1))
    return summary


def rebuild(recipe: BuildRecipe, stream_id: str) -> Path:
    """One stream of a build alone, the same bytes, from its id.

    Returns:
        A folder with a shard of that one stream, beside the splits.

    Raises:
        UserError: if the recipe has no such stream, or it was dropped.
    """
    sample, unit, bench = _rebuilt(recipe, stream_id)
    folder = Path(recipe.output) / "only" / stream_id
    shard = write_shard(folder, 0, unit.key, [sample], bench.vocabulary.spec)
    write_index(folder, bench.vocabulary.spec, [shard])
    return folder


def _rebuilt(recipe: BuildRecipe, stream_id: str) -> tuple[StreamSample, Unit, Workbench]:
    collect(recipe, Path(recipe.output) / MATERIAL)
    bench = workbench(recipe)
    for unit in plan_units(bench):
        for number in range(unit.first, unit.first + unit.count):
            if f"{unit.split}-{number:06d}" == stream_id:
                sample, drops = build_stream(bench, unit, number)
                if sample is None:
                    raise UserError(f"{stream_id} was dropped: {drops[-1].reason}")
                return sample, unit, bench
    raise UserError(f"the recipe makes no stream {stream_id!r}", "ids read like train-000123")


def build_units(
    recipe: BuildRecipe, units: list[Unit], progress: Progress
) -> tuple[dict[Unit, ShardInfo], list[Unit]]:
    """Every shard, and which of them were made now."""
    output = Path(recipe.output)
    found = {u: finished_shard(output / u.split, u.number, u.key) for u in units}
    shards = {u: info for u, info in found.items() if info is not None}
    todo = [u for u in units if u not in shards]
    progress("shards", len(shards), len(units))
    for position, info in spread(build_unit, todo, n_workers(recipe.workers), set_up, (recipe,)):
        shards[todo[position]] = info
        progress("shards", len(shards), len(units))
    return {u: shards[u] for u in units}, todo


def write_drops(path: Path, drops: list[dict[str, str]]) -> Counted:
    """The quarantine list: every dropped item once, in order, with its step and reason."""
    unique = list({(d["step"], d["item"], d["reason"]): d for d in drops}.values())
    write_text(path, "".join(json.dumps(d, sort_keys=True) + "\n" for d in unique))
    return count_drops(Drop(**d) for d in unique)


def require_few_drops(recipe: BuildRecipe, counted: Counted, items: int) -> None:
    """Raises:
    UserError: if the share of dropped items, of all clips and streams, is above the ceiling.
    """
    dropped = sum(counted.values())
    if dropped > recipe.max_dropped_share * items:
        raise UserError(
            f"{dropped} of {items} clips and streams were dropped, more than max_dropped_share="
            f"{recipe.max_dropped_share:g}; most often: {next(iter(counted))}",
            f"see {recipe.output}/drops.jsonl; mend the sources, or raise max_dropped_share",
        )


def _nobody(stage: str, done: int, total: int) -> None:
    """No one watches."""
