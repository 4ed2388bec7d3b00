"""Checks that the tasks of a recipe can be built from what was collected, before any shard is."""

from __future__ import annotations

from collections.abc import Mapping

from data_build.collect.material import Seen
from data_build.collect.traits import WANTED
from data_build.pools.pools import PoolsIndex
from data_build.recipe import BuildRecipe, SplitConfig
from data_build.speech.setup import make_aligners, missing_aligners, speech_faults
from data_build.tasks.table import (
    TASKS,
    Need,
    needs_of,
    needs_word_times,
    traits_needed,
    user_speaks,
)
from data_build.tasks.word_timer import REMEDY as WORD_TIMES_REMEDY
from soundflow.errors import UserError, nearest

# What a task needs -> the tables that must not be empty.
_TABLES: dict[Need, tuple[str, ...]] = {
    "speech": ("speech",),
    "translated": ("translated",),
    "dialogues": ("dialogues",),
    "sounds": ("sounds",),
    "scenes": ("sounds",),
    "judged": ("alarms", "benign"),
}
_WORDS = {
    "speech": "speech with a text",
    "translated": "speech with a translation",
    "dialogues": "dialogues",
    "sounds": "sounds with a name",
    "alarms": "sounds that call for help",
    "benign": "sounds that deserve no reply",
}

REMEDY = "correct the label, add sources, texts, cues or synthetic sounds, or leave the tasks out"


def label_problems(recipe: BuildRecipe, labels: Mapping[str, int]) -> list[str]:
    """Cues whose label no clip of the sources has."""
    problems = []
    for cue in recipe.cues:
        if cue.label is not None and recipe.sources and cue.label not in labels:
            close = nearest(cue.label, labels)
            tail = f"did you mean {close!r}?" if close else _known(labels)
            problems.append(f"cue {cue.name!r}: no clip has the label {cue.label!r}; {tail}")
    return problems


def word_time_problems(recipe: BuildRecipe, seen: Seen) -> list[str]:
    """Tasks that need the time of every word, and speech that has neither times nor an aligner."""
    if recipe.speech.allow_even:
        return []
    tasks: dict[str, None] = {}
    speech: dict[str, dict[str, None]] = {}
    for (split, table, language, corpus), _ in sorted(seen.unaligned.items()):
        needing = needs_word_times(recipe.splits[split].tasks)
        drawing = [task for task in needing if table in TASKS[task].needs]
        tasks |= dict.fromkeys(drawing)
        if drawing:
            speech.setdefault(corpus, {})[language] = None
    if not tasks:
        return []
    found = ", ".join(f"{corpus} ({', '.join(codes)})" for corpus, codes in speech.items())
    return [
        f"{', '.join(tasks)}: every word needs its time, and speech of {found} has neither word "
        f"times nor an aligner: {WORD_TIMES_REMEDY}"
    ]


def require_speech(recipe: BuildRecipe) -> None:
    """Refuses a recipe whose texts nothing here can speak, or check.

    Raises:
        UserError: naming each engine, voice and ASR model that is missing, and the remedies.
    """
    if not any(_speaks(recipe, split) for split in recipe.splits.values()):
        return
    if faults := speech_faults(recipe.speech):
        raise UserError(
            "\n".join(fault.message for fault in faults),
            "; ".join(dict.fromkeys(fault.hint for fault in faults)),
        )


def _speaks(recipe: BuildRecipe, split: SplitConfig) -> bool:
    """Whether a text may have to be spoken for a stream of a split."""
    needs = needs_of(split.tasks, split.offline)
    cues = any(cue.say is not None for cue in recipe.cues) and needs & {"cues", "silence"}
    texts = recipe.texts and needs & {"speech", "translated"}
    return bool(cues or texts or user_speaks(split.tasks))


def word_time_notes(recipe: BuildRecipe) -> list[str]:
    """What is not installed here to measure word times that the tasks need.

    Raises:
        UserError: if words may not be spread evenly instead.
    """
    if not any(needs_word_times(split.tasks) for split in recipe.splits.values()):
        return []
    make_aligners(recipe.speech)
    languages: dict[tuple[str, str], list[str]] = {}
    for code, fault in missing_aligners(recipe.speech).items():
        languages.setdefault((fault.message, fault.hint), []).append(code)
    return [
        f"Words in {', '.join(codes)} are spread evenly over their audio: {what}; {remedy}."
        for (what, remedy), codes in languages.items()
    ]


def split_problems(recipe: BuildRecipe, split: str, index: PoolsIndex, seen: Seen) -> list[str]:
    """What the tasks of a split need but its tables lack."""
    config = recipe.splits[split]
    needs = needs_of(config.tasks, config.offline)
    tables = dict.fromkeys(t for need in sorted(needs) for t in _TABLES.get(need, ()))
    problems = [
        f"split {split!r} needs {_WORDS[table]}: {_why(table, seen.rows)}"
        for table in tables
        if table not in index.tables
    ]
    for trait, tasks in traits_needed(config.tasks).items():
        wanted = WANTED[trait]
        if wanted.table in index.tables and not seen.traits[split, trait]:
            elsewhere = sum(n for (_, has), n in seen.traits.items() if has == trait)
            why = wanted.why or _elsewhere(elsewhere)
            problems.append(f"split {split!r} needs {wanted.words} for {', '.join(tasks)}: {why}")
    if "cues" in needs and not index.cues:
        problems.append(f"split {split!r} needs cues: it has no clip of any cue")
    silent = any(cue.reply is None for cue in index.cues) or "benign" in index.tables
    if "silence" in needs and not silent:
        problems.append(
            f"split {split!r} needs something that deserves no reply: add a cue without one"
        )
    counted = recipe.tasks.counting.sound
    if config.tasks.get("count_sounds", 0) > 0 and counted not in {c.name for c in index.cues}:
        problems.append(f"split {split!r} counts {counted!r}: it has no clip of that cue")
    return problems


def _why(table: str, rows: Mapping[str, int]) -> str:
    if table in ("alarms", "benign"):
        return "the intervention policy selects none of its sounds"
    if rows.get(table, 0) == 0:
        return "no source, text or synthetic sound gives any"
    return _elsewhere(rows[table])


def _elsewhere(count: int) -> str:
    if not count:
        return "no source or text gives any"
    return (
        f"all {count} went to other splits, with what they share a recording, speaker or text with"
    )


def _known(labels: Mapping[str, int]) -> str:
    most = sorted(labels, key=lambda label: -labels[label])[:12]
    return f"the sources have: {', '.join(most)}" if most else "no clip of the sources has a label"
