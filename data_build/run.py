"""The whole build, in order. Running the same command again is the recovery.

::

    recipe ─▶ clips rendered (cache) ─▶ library ─▶ shards (work units) ─▶ index ─▶ self-check
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from data_build.material.library import Library, Wanted, library, wanted
from data_build.material.render import Job, render
from data_build.recipe import BuildRecipe
from data_build.records import Clip, Drop
from data_build.report import BuildSummary, count_drops, summarise_split
from data_build.seeding import digest
from data_build.selfcheck import self_check
from data_build.step import batches, n_workers, spread
from data_build.tokenize import read_vocabulary
from data_build.unit import Unit, build_unit, set_up
from soundflow.atomic import write_text
from soundflow.config.record import record, to_plain
from soundflow.shards.writer import ShardInfo, finished_shard, write_index

Progress = Callable[[str, int, int], None]

_OPERATIONAL = ("output", "workers", "max_dropped_share", "splits")
_CLIPS_A_TASK = 16


def build(recipe: BuildRecipe, *, progress: Progress | None = None) -> BuildSummary:
    """Builds every split of ``recipe``, skipping shards that are there already.

    Args:
        progress: called with (stage, done, total) while the build runs.

    Raises:
        UserError: if the output cannot be written or a source cannot be read.
        TooManyDrops: above the recipe's ceiling; what was built stays.
    """
    started = time.monotonic()
    tell = progress or (lambda stage, done, total: None)
    output = Path(recipe.output)
    record(output / "recipe.yaml", recipe)
    vocabulary = read_vocabulary(recipe.vocabulary)

    wants = wanted(recipe)
    clips = render_all(wants, output / "cache", recipe.workers, tell)
    libraries = {split: library(recipe, split, wants, clips) for split in recipe.splits}

    units = plan_units(recipe, vocabulary.spec.fingerprint)
    shards, made = build_units(recipe, units, libraries, tell)

    drops = [asdict(c) for c in clips if isinstance(c, Drop)]
    drops += [d for shard in shards.values() for d in shard.extra["drops"]]
    write_text(output / "drops.jsonl", "".join(json.dumps(d, sort_keys=True) + "\n" for d in drops))
    splits = {}
    for split in recipe.splits:
        infos = [info for unit, info in shards.items() if unit.split == split]
        write_index(output / split, vocabulary.spec, infos)
        self_check(output / split, vocabulary)
        splits[split] = summarise_split(infos, vocabulary.spec.time.sample_rate_hz)

    seconds = time.monotonic() - started
    made_s = sum(e.n_samples for u in made for e in shards[u].samples) / 16_000
    hours = sum(s.hours for s in splits.values())
    summary = BuildSummary(
        splits=splits,
        drops=count_drops(drops),
        clips=len(clips),
        shards_made=len(made),
        shards_kept=len(units) - len(made),
        seconds=round(seconds, 2),
        speed=round(made_s / seconds, 1) if made else None,
        bytes_per_hour=sum(s.n_bytes for s in splits.values()) / hours if hours else None,
    )
    write_text(output / "summary.json", json.dumps(asdict(summary), indent=1))
    return summary


def render_all(
    wants: Sequence[Wanted], cache: Path, workers: int, tell: Progress
) -> list[Clip | Drop]:
    """Every clip, in the order of ``wants``."""
    tasks = [([w.job for w in part], cache) for part in batches(wants, _CLIPS_A_TASK)]
    parts: dict[int, list[Clip | Drop]] = {}
    for position, clips in spread(_render_batch, tasks, n_workers(workers)):
        parts[position] = clips
        tell("clips", sum(map(len, parts.values())), len(wants))
    return [clip for position in sorted(parts) for clip in parts[position]]


def _render_batch(task: tuple[list[Job], Path]) -> list[Clip | Drop]:
    jobs, cache = task
    return [render(job, cache) for job in jobs]


def plan_units(recipe: BuildRecipe, fingerprint: str) -> list[Unit]:
    """The shards to make. A unit's key changes with anything that changes its content."""
    content = {k: v for k, v in to_plain(recipe).items() if k not in _OPERATIONAL}
    units = []
    for split, config in recipe.splits.items():
        size = recipe.streams_per_shard
        for number, first in enumerate(range(0, config.streams, size)):
            count = min(size, config.streams - first)
            about = {k: v for k, v in to_plain(config).items() if k != "streams"}
            key = digest(content, fingerprint, split, about, number, count)
            units.append(Unit(split, number, first, count, key))
    return units


def build_units(
    recipe: BuildRecipe, units: Sequence[Unit], libraries: dict[str, Library], tell: Progress
) -> tuple[dict[Unit, ShardInfo], list[Unit]]:
    """Every shard, and which of them were made now."""
    output = Path(recipe.output)
    shards: dict[Unit, ShardInfo] = {}
    for unit in units:
        info = finished_shard(output / unit.split, unit.number, unit.key)
        if info is not None:
            shards[unit] = info
    todo = [u for u in units if u not in shards]
    tell("shards", len(shards), len(units))
    workers = n_workers(recipe.workers)
    for position, info in spread(build_unit, todo, workers, set_up, (recipe, libraries)):
        shards[todo[position]] = info
        tell("shards", len(shards), len(units))
    return {u: shards[u] for u in units}, todo
