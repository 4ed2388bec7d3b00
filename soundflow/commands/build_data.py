"""`soundflow build-data recipe.yaml`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from rich.table import Table

from data_build.context import CACHE, MATERIAL
from data_build.recipe import BuildRecipe
from data_build.report.documents import CARD_FILE, CREDITS_FILE, MANIFEST_FILE
from data_build.report.page import REPORT_FILE
from data_build.report.summary import BuildSummary
from data_build.run import AUDIT_FILE, DROPS_FILE, build_part, rebuild
from data_build.shard_plan import WHOLE, Part
from soundflow.atomic import remove_abandoned
from soundflow.commands.progress import stages
from soundflow.config.load import load
from soundflow.config.record import to_plain
from soundflow.logs import OUT
from soundflow.output import Output, claim

SHOWN_REASONS = 5
# What a build writes at the top of its output, beside its splits.
NAMES = (
    "recipe.yaml", DROPS_FILE, "summary.json", AUDIT_FILE, "only", MATERIAL, CACHE,
    REPORT_FILE, MANIFEST_FILE, CREDITS_FILE, CARD_FILE,
)  # fmt: skip


def run(args: argparse.Namespace) -> None:
    recipe = load(args.recipe, BuildRecipe, args.overrides, command="build-data")
    part = Part(*args.part)
    claim(Path(recipe.output), output_of(recipe), replace=args.replace)
    if args.only:
        OUT.print(str(rebuild(recipe, args.only)))
        return
    try:
        with stages() as tell:
            done = build_part(recipe, part, progress=tell)
    except KeyboardInterrupt:
        # A worker that was deep in a library could not remove what it was writing.
        remove_abandoned(Path(recipe.output))
        raise
    if args.json:
        print(
            json.dumps(asdict(done.summary if part == WHOLE and done.summary else done), indent=1)
        )
    elif done.summary is not None:
        show(done.summary, recipe.output)
    else:
        OUT.print(
            f"part {part.index}/{part.of}: {done.made} shards made and {done.kept} kept; "
            f"{done.waiting} of other parts do not exist yet"
        )


def output_of(recipe: BuildRecipe) -> Output:
    """The `Output` of a build with this recipe."""
    plain = to_plain(recipe)
    settings = {
        **recipe.content(),
        "splits": plain["splits"],
        # Where they lie may change: what was read from them is part of every shard's key.
        "sources": [{k: v for k, v in s.items() if k != "root"} for s in plain["sources"]],
    }
    return Output(
        "build-data", settings, (*NAMES, *recipe.splits),
        kept=(CACHE,), may_grow=("streams", "hours"), results="*/*.tar",
    )  # fmt: skip


def show(summary: BuildSummary, output: str) -> None:
    """The summary as tables: what each split holds, and of which task how many streams."""
    totals = Table(title=f"data in {output}", title_justify="left")
    for column in ("split", "streams", "hours", "replies", "silences"):
        totals.add_column(column, justify="left" if column == "split" else "right")
    tasks = Table("ability / task")
    for name, s in summary.splits.items():
        totals.add_row(name, str(s.streams), f"{s.hours:.2f}", str(s.replies), str(s.silences))
        tasks.add_column(name, justify="right")
    for task in sorted({t for s in summary.splits.values() for t in s.abilities}):
        counts = (s.abilities.get(task, 0) for s in summary.splits.values())
        tasks.add_row(task.replace("/", " / "), *map(str, counts))
    OUT.print(totals)
    OUT.print(tasks)
    for note in summary.notes:
        OUT.print(note, soft_wrap=True)
    if summary.missed:
        OUT.print(
            f"audit: beyond the limit: {', '.join(summary.missed)}; see {output}/{REPORT_FILE}",
            soft_wrap=True,
        )
    if summary.refused:
        classes = (f"{n} of {of} ({n / of:.0%}) of {c}" for c, (n, of) in summary.refused.items())
        OUT.print(f"texts that the check of speech refused: {', '.join(classes)}", soft_wrap=True)
    speed = f"{summary.speed:g}x real time" if summary.speed else "everything was already built"
    OUT.print(
        f"{dropped(summary.drops, output)}\n{summary.shards_made} shards made and "
        f"{summary.shards_kept} kept in {summary.seconds:.0f} s ({speed})\n"
        f"report: {output}/{REPORT_FILE}",
        soft_wrap=True,
    )


def dropped(counted: Mapping[str, int], output: str) -> str:
    """The most frequent reasons for drops; the full list is in the output."""
    if not counted:
        return "dropped: none"
    most = sorted(counted.items(), key=lambda pair: -pair[1])
    lines = [f"dropped: {sum(counted.values()):,} items, see {output}/{DROPS_FILE}"]
    lines += [f"  {n:,} x {reason}" for reason, n in most[:SHOWN_REASONS]]
    rest = most[SHOWN_REASONS:]
    if rest:
        lines.append(f"  {sum(n for _, n in rest):,} for {len(rest):,} other reasons")
    return "\n".join(lines)
