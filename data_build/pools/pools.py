"""Everything a split can be composed from, as tables on disk.

::

    corpora, texts ─────▶ by speaker / label ─▶ split ─┐
    phrases × voices ──────────────────────────────────┼─▶ material/<split>/<use>.jsonl ─▶ Library
    sounds × takes ────────────────────────────────────┘
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from data_build.chat.client import ChatClient
from data_build.drops import Drop
from data_build.pools.split_assignment import (
    ALARMS,
    AMBIENT_NOISE,
    BENIGNS,
    DIALOGUES,
    EVENT_NOISE,
    INSTRUCTION,
    SOUNDS,
    SPEECH,
    TRANSLATED,
    dealt,
    instruction_cue,
)
from data_build.pools.table import ClipTable, DialogueTable, TableWriter
from data_build.randomness import digest
from data_build.recipe import BuildRecipe
from data_build.records import Clip, Dialogue, Unspoken
from data_build.scenes.retrieval import LIBRARY_VERSION, write_clip_library
from data_build.scenes.source import SceneSource
from data_build.speech.speech_source import SpeechSource
from data_build.tasks.config import CueConfig
from data_build.tasks.taxonomy import needs_of
from soundflow.atomic import write_text
from soundflow.config.record import to_plain
from soundflow.errors import UserError

_COLLECTED = "collected.json"
CLIP_LIBRARY = "library"  # with the digest of its table


@dataclass(frozen=True)
class Cue:
    """A cue and its takes in one split."""

    config: CueConfig
    takes: Sequence[Clip]


@dataclass(frozen=True)
class Library:
    """What one split is made from. ``key`` changes with any clip of it.

    Attributes:
        speech: recordings with their text, and sentences still to be spoken.
        translated: those of them that have a translation.
        sounds: recorded and synthesised sounds and music that have a name.
        alarms, benign: those of them that call for help, and that deserve nothing.
        speech_source, stage: make speech and scenes where a task needs them.
        probes: the chat model that writes late questions; None: the rules do.
    """

    key: str
    cues: tuple[Cue, ...]
    instruction: Cue | None
    speech: Sequence[Clip]
    event_noise: Sequence[Clip]
    ambient_noise: Sequence[Clip]
    translated: Sequence[Clip] = ()
    sounds: Sequence[Clip] = ()
    alarms: Sequence[Clip] = ()
    benign: Sequence[Clip] = ()
    dialogues: Sequence[Dialogue] = ()
    speech_source: SpeechSource | None = None
    stage: SceneSource | None = None
    probes: ChatClient | None = None

    @property
    def speaker(self) -> SpeechSource:
        if self.speech_source is None:
            raise RuntimeError("this library was opened without a speech_source")
        return self.speech_source

    @property
    def scenes(self) -> SceneSource:
        if self.stage is None:
            raise RuntimeError("this library was opened without a stage")
        return self.stage

    def spoken(self, clip: Clip, rng: np.random.Generator) -> Clip:
        """A clip with its audio: a sentence is spoken, a recording is as it is.

        Raises:
            Dropped: if it cannot be spoken well enough.
        """
        return self.speaker.speak(clip, rng) if isinstance(clip.audio, Unspoken) else clip


@dataclass(frozen=True)
class Collected:
    """What `collect` found.

    Attributes:
        clips: in the tables of all splits.
        drops: rows of the sources that could not be used.
        missing: "split/cue" of the cues that no clip fell to.
    """

    clips: int
    drops: tuple[Drop, ...]
    missing: tuple[str, ...]


def collect(recipe: BuildRecipe, folder: Path) -> Collected:
    """Reads the sources and writes the tables of every split; clips are not opened.

    Raises:
        UserError: if a source is missing or the tables cannot be written.
    """
    drops: list[Drop] = []
    missing: list[str] = []
    with ExitStack() as stack:
        writers: dict[tuple[str, str], TableWriter] = {}
        for split, use, item in dealt(recipe, folder, drops.append):
            at = (split, use)
            if at not in writers:
                path = folder / split / f"{digest(use)[:8]}.jsonl"
                writers[at] = stack.enter_context(TableWriter(path))
            writers[at].add(item)
    for split in recipe.splits:
        uses = {use: w for (s, use), w in writers.items() if s == split}
        about = {
            use: {"file": f"{digest(use)[:8]}.jsonl", "clips": len(w), "sha256": w.sha256}
            for use, w in uses.items()
        }
        write_text(folder / split / "tables.json", json.dumps(about, indent=1, sort_keys=True))
        config = recipe.splits[split]
        if SOUNDS in uses and "scenes" in needs_of(config.tasks, config.offline):
            clips = ClipTable(folder / split / str(about[SOUNDS]["file"]))
            write_clip_library(folder / split / _library_name(about[SOUNDS]["sha256"]), clips)
        missing += _missing(recipe, split, set(uses))
    found = Collected(sum(map(len, writers.values())), tuple(drops), tuple(missing))
    marked = {"recipe": _recipe_digest(recipe), **asdict(found)}
    write_text(folder / _COLLECTED, json.dumps(marked, indent=1, sort_keys=True))
    return found


def collected_before(recipe: BuildRecipe, folder: Path) -> Collected | None:
    """What an earlier `collect` of the same recipe found, or None.

    Array tasks share one reading of the corpora; a run of the whole build reads them anew.
    """
    try:
        data = json.loads((folder / _COLLECTED).read_bytes())
    except (OSError, ValueError):
        return None
    if data["recipe"] != _recipe_digest(recipe):
        return None
    drops = tuple(Drop(**d) for d in data["drops"])
    return Collected(data["clips"], drops, tuple(data["missing"]))


def _recipe_digest(recipe: BuildRecipe) -> str:
    return digest(recipe.content(), to_plain(recipe.splits), to_plain(recipe.sources))


def open_library(
    recipe: BuildRecipe,
    folder: Path,
    split: str,
    speech_source: SpeechSource | None = None,
    stage: Callable[[Path, Sequence[Clip]], SceneSource] | None = None,
    probes: ChatClient | None = None,
) -> Library:
    """The tables that `collect` wrote.

    Args:
        stage: makes one from the folder of a clip library and its clips.
    """
    about = json.loads((folder / split / "tables.json").read_bytes())

    def table(use: str) -> Sequence[Clip]:
        return ClipTable(folder / split / about[use]["file"]) if use in about else ()

    instruction = table(INSTRUCTION)
    sounds = table(SOUNDS)
    return Library(
        key=digest(sorted((use, a["sha256"]) for use, a in about.items())),
        cues=tuple(Cue(c, table(c.name)) for c in recipe.cues if c.name in about),
        instruction=Cue(instruction_cue(recipe), instruction) if instruction else None,
        speech=table(SPEECH),
        event_noise=table(EVENT_NOISE),
        ambient_noise=table(AMBIENT_NOISE),
        translated=table(TRANSLATED),
        sounds=sounds,
        alarms=table(ALARMS),
        benign=table(BENIGNS),
        dialogues=(
            DialogueTable(folder / split / about[DIALOGUES]["file"]) if DIALOGUES in about else ()
        ),
        speech_source=speech_source,
        stage=(
            stage(folder / split / _library_name(about[SOUNDS]["sha256"]), sounds)
            if stage and SOUNDS in about
            else None
        ),
        probes=probes,
    )


def _library_name(sha256: object) -> str:
    return f"{CLIP_LIBRARY}-v{LIBRARY_VERSION}-{str(sha256)[:12]}"


def _missing(recipe: BuildRecipe, split: str, uses: set[str]) -> list[str]:
    """Cues without a take in a split; fatal if nothing at all can be heard there."""
    missing = [c.name for c in recipe.cues if c.name not in uses]
    if not uses - {EVENT_NOISE, AMBIENT_NOISE, INSTRUCTION}:
        raise UserError(
            f"split {split!r}: the sources hold no clip for any cue and no speech",
            "check the labels of the cues against the source, and the shares of the splits",
        )
    uses_of = {"translated": TRANSLATED, "dialogues": DIALOGUES, "sounds": SOUNDS}
    config = recipe.splits[split]
    for need in sorted(needs_of(config.tasks, config.offline)):
        if need in uses_of and uses_of[need] not in uses:
            raise UserError(
                f"split {split!r}: its tasks need {need}, and there are none",
                "add a source, texts or material.sounds that give some, or leave the tasks out",
            )
    return [f"{split}/{name}" for name in missing]
