"""The items of sources and texts, each with the tables and cues that it could go to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from data_build.collect.text_rules import SUFFIX
from data_build.collect.texts import read_texts
from data_build.collect.transcripts import CheckedTexts
from data_build.drops import Report
from data_build.recipe import BuildRecipe
from data_build.records import Clip, Dialogue
from data_build.sources.catalogue import read


@dataclass(frozen=True)
class Candidate:
    """An item before it is dealt to a split.

    Attributes:
        tables: fields of `data_build.pools.pools.Pools`.
        cues: names of the cues that it is a take of.
    """

    item: Clip | Dialogue
    tables: tuple[str, ...]
    cues: tuple[str, ...] = ()


def candidates(recipe: BuildRecipe, checked: CheckedTexts, report: Report) -> Iterator[Candidate]:
    """Every item of the sources and texts that something draws from, in the order of reading.

    Args:
        checked: what it has quarantined is left out.
        report: gets a drop for every row that cannot be used.

    Raises:
        UserError: if a source or text is missing.
    """
    named: dict[str, list[str]] = {}
    for cue in recipe.cues:
        if cue.label is not None:
            named.setdefault(cue.label, []).append(cue.name)
    for number, source in enumerate(recipe.sources):
        for item in read(source, report):
            doubtful = checked.quarantined.get((number, item.id))
            if doubtful is not None:
                report(doubtful.drop())
                continue
            cues: tuple[str, ...] = ()
            if isinstance(item, Clip):
                cues = tuple(name for label in item.labels for name in named.get(label, ()))
            tables = tables_of(item, recipe.noise_labels)
            if tables or cues:
                yield Candidate(item, tables, cues)
    for text in recipe.texts:
        if text.endswith(SUFFIX):
            continue  # its texts are made for each split
        for item in read_texts(Path(text), report):
            if tables := tables_of(item, ()):
                yield Candidate(item, tables)


def tables_of(item: Clip | Dialogue, noise_labels: tuple[str, ...]) -> tuple[str, ...]:
    """The tables that an item belongs to."""
    if isinstance(item, Dialogue):
        return ("dialogues",)
    if item.kind == "speech":
        if not item.text:
            return ()
        return ("speech", "translated") if item.translation else ("speech",)
    if item.kind == "noise" or set(item.labels) & set(noise_labels):
        return ("event_noise",) if item.texture == "event" else ("ambient_noise",)
    return ("sounds",) if item.labels or item.caption or item.question else ()
