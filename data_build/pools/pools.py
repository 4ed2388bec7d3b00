"""The pools of one split: tables of clips on disk, read one row at a time."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path

from pydantic import TypeAdapter

from data_build.pools.table import Table
from data_build.randomness import digest
from data_build.records import Clip, Dialogue, PlannedReply
from soundflow.atomic import write_text

INDEX = "pools.json"


@dataclass(frozen=True)
class Cue:
    """A cue: a named set of clips of the recipe, and the reply to them.

    Attributes:
        reply: None if it deserves none.
        clips: its takes, recordings, or the text that is still to be spoken.
    """

    name: str
    reply: PlannedReply | None
    clips: Sequence[Clip]


@dataclass(frozen=True)
class Pools:
    """The material of one split.

    Attributes:
        key: changes with any clip of it.
        speech: recordings with their text, and sentences still to be spoken.
        translated: those of them that have a translation.
        sounds: sounds and music that have a name.
        alarms, benign: those of them that call for help, and that deserve nothing.
    """

    key: str = ""
    cues: tuple[Cue, ...] = ()
    speech: Sequence[Clip] = ()
    translated: Sequence[Clip] = ()
    dialogues: Sequence[Dialogue] = ()
    sounds: Sequence[Clip] = ()
    alarms: Sequence[Clip] = ()
    benign: Sequence[Clip] = ()
    event_noise: Sequence[Clip] = ()
    ambient_noise: Sequence[Clip] = ()

    @cached_property
    def answered_cues(self) -> tuple[Cue, ...]:
        return tuple(cue for cue in self.cues if cue.reply is not None)

    @cached_property
    def silent_cues(self) -> tuple[Cue, ...]:
        return tuple(cue for cue in self.cues if cue.reply is None)


# The tables of a split are named after the fields of `Pools`; those of cues stand apart, so that
# no name of a cue can be taken for one of them.
CLIP_TABLES = (
    "speech", "translated", "sounds", "alarms", "benign", "event_noise", "ambient_noise",
)  # fmt: skip


@dataclass(frozen=True)
class TableEntry:
    """A table of the split: its file, how many rows it has, and their checksum."""

    file: str
    rows: int
    sha256: str


@dataclass(frozen=True)
class CueEntry:
    """A cue of the split and its table."""

    name: str
    reply: PlannedReply | None
    table: TableEntry


@dataclass(frozen=True)
class PoolsIndex:
    """The index of the folder of a split; written when all of its tables are complete."""

    tables: dict[str, TableEntry] = field(default_factory=dict)
    cues: tuple[CueEntry, ...] = ()

    def write(self, folder: Path) -> None:
        write_text(folder / INDEX, json.dumps(asdict(self), indent=1, sort_keys=True))

    @staticmethod
    def read(folder: Path) -> PoolsIndex:
        return TypeAdapter(PoolsIndex).validate_json((folder / INDEX).read_bytes())


def open_pools(folder: Path) -> Pools:
    """The pools in ``folder``."""
    index = PoolsIndex.read(folder)
    clips = {
        name: Table(folder / index.tables[name].file, Clip)
        for name in CLIP_TABLES
        if name in index.tables
    }
    cues = tuple(
        Cue(cue.name, cue.reply, Table(folder / cue.table.file, Clip)) for cue in index.cues
    )
    dialogues: Sequence[Dialogue] = ()
    if "dialogues" in index.tables:
        dialogues = Table(folder / index.tables["dialogues"].file, Dialogue)
    return Pools(key=digest(asdict(index)), cues=cues, dialogues=dialogues, **clips)
