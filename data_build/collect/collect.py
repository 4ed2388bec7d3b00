"""Reads the corpora and writes the tables of every split."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path

from pydantic import TypeAdapter

from data_build.chat_use import Deciders
from data_build.collect.deal import FINGERPRINTS, deal
from data_build.collect.feasible import (
    label_problems,
    split_problems,
    word_time_notes,
    word_time_problems,
)
from data_build.collect.kept_texts import WRITTEN
from data_build.collect.material import Seen, TextStore, material
from data_build.collect.transcripts import check_texts
from data_build.drops import Drop
from data_build.expected_length import Kind
from data_build.pools.pools import CueEntry, PoolsIndex, TableEntry
from data_build.pools.table import Table, TableWriter
from data_build.processes import Progress, unseen
from data_build.randomness import digest
from data_build.recipe import BuildRecipe
from data_build.records import Clip
from data_build.scenes.retrieval import write_clip_library
from data_build.tasks.table import needs_of
from data_build.wording.paraphrase import keep_paraphrases
from soundflow.atomic import write_text
from soundflow.config.record import to_plain
from soundflow.stored_json import parsed

Place = tuple[str, str, bool]  # split, table, and whether that is one of a cue
_COLLECTED = "collected.json"
CHAT_CACHE = "chat"


@dataclass(frozen=True)
class Collected:
    """What `collect` found.

    Attributes:
        clips: in the tables of all splits.
        drops: rows of the sources that could not be used.
        missing: "split/cue" of the cues without a clip in a split.
        problems: why the tasks of the recipe cannot be built from this.
        notes: what a user of the data should know.
        lengths_s: the mean length of its items, by kind.
    """

    clips: int
    drops: tuple[Drop, ...]
    missing: tuple[str, ...]
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    lengths_s: dict[Kind, float] = field(default_factory=dict)


def collect(recipe: BuildRecipe, folder: Path, progress: Progress = unseen) -> Collected:
    """Writes the tables of every split below ``folder``.

    Args:
        progress: called with (stage, done, total) while sources are transcribed.

    Raises:
        UserError: if a source is missing or the tables cannot be written.
    """
    deciders = Deciders.of(recipe.llm, folder / CHAT_CACHE)
    client, writer = deciders.model("silence"), deciders.model("paraphrase")
    checked = check_texts(recipe, folder, hear=True, progress=progress)
    dealt = deal(recipe, checked, folder / FINGERPRINTS, keep=True)
    drops, seen = list[Drop](), Seen()
    if writer is not None:
        keep_paraphrases(folder, recipe.read_wording(), writer, drops.append)
    with ExitStack() as stack:
        writers: dict[Place, TableWriter] = {}
        texts = TextStore(folder / WRITTEN, keep=True)
        for row in material(recipe, client, dealt, texts, drops.append, seen):
            at = (row.split, row.table, row.is_cue)
            if at not in writers:
                file = folder / row.split / _file(row.table, row.is_cue)
                writers[at] = stack.enter_context(TableWriter(file))
            writers[at].add(row.item)
    entries = {
        at: TableEntry(_file(at[1], at[2]), len(writer), writer.sha256)
        for at, writer in writers.items()
    }
    indices = {split: _index(recipe, split, entries) for split in recipe.splits}
    for split, index in indices.items():
        _write_scene_library(recipe, folder, split, index)
        index.write(folder / split)
    collected = _collected(recipe, indices, seen, drops, dealt.notes)
    marked = {"recipe": _recipe_digest(recipe), **asdict(collected)}
    write_text(folder / _COLLECTED, json.dumps(marked, indent=1, sort_keys=True))
    return collected


def survey(recipe: BuildRecipe, folder: Path) -> Collected:
    """What `collect` would find, by the rules alone; writes nothing and asks no model.

    The fingerprints and texts of an earlier run in ``folder`` are used. Without the former a few
    thousand recordings are opened; near-duplicates among more are found by the build alone.

    Raises:
        UserError: if a source is missing.
    """
    checked = check_texts(recipe, folder, hear=False, progress=unseen)
    dealt = deal(recipe, checked, folder / FINGERPRINTS, keep=False)
    drops, seen = list[Drop](), Seen()
    texts = TextStore(folder / WRITTEN, keep=False)
    rows = Counter(
        (row.split, row.table, row.is_cue)
        for row in material(recipe, None, dealt, texts, drops.append, seen)
    )
    entries = {at: TableEntry("", n, "") for at, n in rows.items()}
    indices = {split: _index(recipe, split, entries) for split in recipe.splits}
    unheard = f"{checked.unheard:,} recordings are transcribed by the build first (sources.check)."
    notes = (*dealt.notes, unheard) if checked.unheard else dealt.notes
    return _collected(recipe, indices, seen, drops, notes)


def collected_before(recipe: BuildRecipe, folder: Path) -> Collected | None:
    """What an earlier `collect` of the same recipe found, or None.

    Array tasks share one reading of the corpora; a run of the whole build reads them anew.
    """
    try:
        data = parsed((folder / _COLLECTED).read_bytes())
        if data.pop("recipe") != _recipe_digest(recipe):
            return None
        return TypeAdapter(Collected).validate_python(data)
    except (OSError, ValueError, AttributeError, KeyError, TypeError):
        return None  # damaged: it is made anew


def scene_library(folder: Path, index: PoolsIndex) -> Path:
    """The folder of the search index over the sounds of a split."""
    return folder / f"library-{index.tables['sounds'].sha256[:12]}"


def _file(table: str, is_cue: bool) -> str:
    # The name of a cue may be anything, also one that no file can have.
    return f"cue-{digest(table)[:12]}.jsonl" if is_cue else f"{table}.jsonl"


def _collected(
    recipe: BuildRecipe,
    indices: Mapping[str, PoolsIndex],
    seen: Seen,
    drops: Sequence[Drop],
    notes: tuple[str, ...],
) -> Collected:
    """The result, once all material is read."""
    clips, missing, problems = 0, list[str](), list[str]()
    problems += label_problems(recipe, seen.labels) + word_time_problems(recipe, seen)
    for split, index in indices.items():
        tables = (*index.tables.values(), *(cue.table for cue in index.cues))
        clips += sum(table.rows for table in tables)
        present = {cue.name for cue in index.cues}
        missing += [f"{split}/{cue.name}" for cue in recipe.cues if cue.name not in present]
        problems += split_problems(recipe, split, index, seen)
    notes = (*notes, *word_time_notes(recipe))
    return Collected(clips, tuple(drops), tuple(missing), tuple(problems), notes, seen.lengths_s)


def _index(recipe: BuildRecipe, split: str, entries: Mapping[Place, TableEntry]) -> PoolsIndex:
    return PoolsIndex(
        {
            table: entry
            for (name, table, is_cue), entry in entries.items()
            if name == split and not is_cue
        },
        tuple(
            CueEntry(cue.name, cue.planned, entries[split, cue.name, True])
            for cue in recipe.cues
            if (split, cue.name, True) in entries
        ),
    )


def _write_scene_library(recipe: BuildRecipe, folder: Path, split: str, index: PoolsIndex) -> None:
    config = recipe.splits[split]
    if "sounds" in index.tables and "scenes" in needs_of(config.tasks, config.offline):
        sounds = Table(folder / split / index.tables["sounds"].file, Clip)
        write_clip_library(scene_library(folder / split, index), sounds)


def _recipe_digest(recipe: BuildRecipe) -> str:
    return digest(recipe.content(), to_plain(recipe.splits), to_plain(recipe.sources))
