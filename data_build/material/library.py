"""Everything a split can be composed from, as tables on disk.

::

    corpora ────────────▶ by speaker / label ─▶ split ─┐
    phrases × voices ──────────────────────────────────┼─▶ material/<split>/<use>.jsonl ─▶ Library
    sounds × takes ────────────────────────────────────┘
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from data_build.abilities.config import CueConfig
from data_build.material.cast import cast
from data_build.material.made import spoken_clip, synthesised_clip
from data_build.material.table import ClipTable, TableWriter
from data_build.recipe import BuildRecipe
from data_build.records import Clip, Drop
from data_build.seeding import digest
from data_build.sources.catalogue import read
from data_build.sources.source import Report
from data_build.spread import most_wanting
from soundflow.atomic import write_text
from soundflow.config.record import to_plain
from soundflow.errors import UserError

INSTRUCTION = "counting instruction"  # a cue of ours beside those of the recipe
_COLLECTED = "collected.json"
SPEECH, EVENT_NOISE, AMBIENT_NOISE = "speech", "event noise", "ambient noise"


@dataclass(frozen=True)
class Cue:
    """A cue and its takes in one split."""

    config: CueConfig
    takes: Sequence[Clip]


@dataclass(frozen=True)
class Library:
    """What one split is made from. ``key`` changes with any clip of it."""

    key: str
    cues: tuple[Cue, ...]
    instruction: Cue | None
    speech: Sequence[Clip]
    event_noise: Sequence[Clip]
    ambient_noise: Sequence[Clip]


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
        for split, use, clip in _clips(recipe, drops.append):
            at = (split, use)
            if at not in writers:
                path = folder / split / f"{digest(use)[:8]}.jsonl"
                writers[at] = stack.enter_context(TableWriter(path))
            writers[at].add(clip)
    for split in recipe.splits:
        uses = {use: w for (s, use), w in writers.items() if s == split}
        about = {
            use: {"file": f"{digest(use)[:8]}.jsonl", "clips": len(w), "sha256": w.sha256}
            for use, w in uses.items()
        }
        write_text(folder / split / "tables.json", json.dumps(about, indent=1, sort_keys=True))
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


def open_library(recipe: BuildRecipe, folder: Path, split: str) -> Library:
    """The tables that `collect` wrote."""
    about = json.loads((folder / split / "tables.json").read_bytes())

    def table(use: str) -> Sequence[Clip]:
        return ClipTable(folder / split / about[use]["file"]) if use in about else ()

    instruction = table(INSTRUCTION)
    return Library(
        key=digest(sorted((use, a["sha256"]) for use, a in about.items())),
        cues=tuple(Cue(c, table(c.name)) for c in recipe.cues if c.name in about),
        instruction=Cue(instruction_cue(recipe), instruction) if instruction else None,
        speech=table(SPEECH),
        event_noise=table(EVENT_NOISE),
        ambient_noise=table(AMBIENT_NOISE),
    )


def instruction_cue(recipe: BuildRecipe) -> CueConfig:
    counting = recipe.abilities.counting
    return CueConfig(INSTRUCTION, say=counting.instruction, reply=counting.reply)


def _clips(recipe: BuildRecipe, report: Report) -> Iterator[tuple[str, str, Clip]]:
    """(split, use, clip) for everything, in a fixed order."""
    yield from _recorded(recipe, report)
    voices = cast(recipe.material, recipe.seed, {n: s.voices for n, s in recipe.splits.items()})
    for split, config in recipe.splits.items():
        cues = list(recipe.cues)
        if config.tasks.get("count_sounds", 0) > 0:
            cues.append(instruction_cue(recipe))
        for cue in cues:
            if cue.say is not None:
                for voice in voices[split]:
                    yield split, cue.name, spoken_clip(cue.say, voice)
            elif cue.sound is not None:
                for take in range(config.takes):
                    seed = (recipe.seed, split, cue.name, take)
                    yield split, cue.name, synthesised_clip(cue.sound, *seed)
        for use, kinds in (
            (EVENT_NOISE, recipe.material.event_noise),
            (AMBIENT_NOISE, recipe.material.ambient_noise),
        ):
            for kind in kinds:
                for take in range(max(1, config.takes // 4)):
                    seed = (recipe.seed, split, use, take)
                    yield split, use, synthesised_clip(kind, *seed, seconds=recipe.material.noise_s)


def _recorded(recipe: BuildRecipe, report: Report) -> Iterator[tuple[str, str, Clip]]:
    """Clips of the sources, dealt to the splits; a speaker or group stays on one side."""
    shares = {name: s.share for name, s in recipe.splits.items()}
    by_label = {c.label: c.name for c in recipe.cues if c.label is not None}
    dealt: dict[str, Counter[str]] = defaultdict(Counter)
    homes: dict[tuple[str, str], str] = {}
    for source in recipe.sources:
        for clip in read(source, report):
            if not isinstance(clip, Clip):
                continue
            for use in _uses(clip, by_label, recipe.material.noise_labels):
                group = (use, clip.speaker or str(clip.extra.get("group", "")))
                home = homes.get(group)
                if home is None:
                    home = most_wanting(shares, dealt[use])
                    dealt[use][home] += 1
                    if group[1]:  # a clip of nobody has no companions to keep together
                        homes[group] = home
                yield home, use, clip


def _uses(clip: Clip, by_label: Mapping[str, str], noise_labels: Sequence[str]) -> list[str]:
    if clip.kind == "speech":
        return [SPEECH] if clip.text else []
    uses = [by_label[label] for label in clip.labels if label in by_label]
    if clip.kind == "noise" or set(clip.labels) & set(noise_labels):
        texture = clip.extra.get("texture", "ambient")
        uses.append(EVENT_NOISE if texture == "event" else AMBIENT_NOISE)
    return uses


def _missing(recipe: BuildRecipe, split: str, uses: set[str]) -> list[str]:
    """Cues without a take in a split; fatal if nothing at all can be heard there."""
    missing = [c.name for c in recipe.cues if c.name not in uses]
    if len(missing) == len(recipe.cues) and SPEECH not in uses:
        raise UserError(
            f"split {split!r}: the sources hold no clip for any cue and no speech",
            "check the labels of the cues against the source, and the shares of the splits",
        )
    return [f"{split}/{name}" for name in missing]
