"""All material for streams, item by item, each with its split and table.

::

    sources ─▶ recordings, dialogues ─┐
    texts   ─▶ sentences, dialogues  ─┼─▶ Assigned(split, table, item)
    cues    ─▶ phrases, takes        ─┤      sounds ─▶ judged ─▶ alarms, benign
    synthetic sounds ─▶ takes        ─┘
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from data_build.collect.split_assignment import SplitAssignment
from data_build.collect.texts import read_texts
from data_build.drops import Drop
from data_build.labelling.policy import Policy, judged
from data_build.recipe import BuildRecipe
from data_build.records import Clip, Dialogue, Unspoken
from data_build.sources.catalogue import read
from data_build.speech.speech_source import OWN_PHRASES
from data_build.synth.kinds import sound_kind, synthesised_clip
from data_build.tasks.config import CueConfig
from data_build.tasks.table import needs_of, uses_judged_sounds
from soundflow.endpoints.chat import ChatClient

Report = Callable[[Drop], None]
_JUDGED_TOGETHER = 1_000
_MOST_LABELS = 100_000
_UNNAMED = 10_000


@dataclass(frozen=True)
class Assigned:
    """An item for a table of a split: a field of `data_build.pools.pools.Pools`, or a cue."""

    split: str
    table: str
    item: Clip | Dialogue
    is_cue: bool = False


@dataclass(frozen=True)
class Seen:
    """The contents of the sources, counted while they are read.

    Attributes:
        labels: how many clips have each label.
        rows: how many items each table has, over all splits.
    """

    labels: Counter[str]
    rows: Counter[str]


def material(
    recipe: BuildRecipe, client: ChatClient | None, by_recording: bool, report: Report, seen: Seen
) -> Iterator[Assigned]:
    """Everything that the tasks of the recipe draw from.

    Args:
        client: judges which sounds deserve a reply; None: the rules do.
        report: gets a drop for every item that is left out.

    Raises:
        UserError: if a source or text is missing.
    """
    needed = {name: _tables(recipe, name) for name in recipe.splits}
    rules = recipe.intervention_policy()
    sounds: list[tuple[str, Clip]] = []
    for assigned in _all(recipe, by_recording, report, seen):
        if not assigned.is_cue:
            seen.rows[assigned.table] += 1
        if not assigned.is_cue and assigned.table == "sounds":
            if "sounds" in needed[assigned.split]:
                assert isinstance(assigned.item, Clip)
                sounds.append((assigned.split, assigned.item))
            if len(sounds) == _JUDGED_TOGETHER:
                yield from _judged(sounds, rules, client, needed, report)
                sounds = []
        elif assigned.is_cue or assigned.table in needed[assigned.split]:
            yield assigned
    yield from _judged(sounds, rules, client, needed, report)


def speakers(recipe: BuildRecipe, enough: int) -> int | None:
    """How many speakers the sources name; reads no further once there are ``enough``.

    A source that names no speaker in ten thousand utterances is taken to name none at all.

    Returns:
        None if the sources hold no speech.
    """
    found: set[str] = set()
    has_speech = False
    for source in recipe.sources:
        unnamed = 0
        for item in read(source, lambda _: None):
            if not isinstance(item, Clip) or item.kind != "speech":
                continue
            has_speech = True
            if item.speaker:
                found.add(item.speaker)
            else:
                unnamed += 1
            if len(found) >= enough or (unnamed >= _UNNAMED and not found):
                break
        if len(found) >= enough:
            break
    return len(found) if has_speech else None


def _tables(recipe: BuildRecipe, split: str) -> frozenset[str]:
    """The tables that the tasks of a split draw from."""
    config = recipe.splits[split]
    needs = needs_of(config.tasks, config.offline)
    # Recordings of speech and noise are always kept: they cost a line each.
    tables = {"speech", "event_noise", "ambient_noise"}
    tables |= {need for need in needs if need in ("translated", "dialogues", "sounds")}
    if "scenes" in needs:
        tables.add("sounds")
    if uses_judged_sounds(config.tasks):
        tables |= {"sounds", "alarms", "benign"}
    return frozenset(tables)


def _all(recipe: BuildRecipe, by_recording: bool, report: Report, seen: Seen) -> Iterator[Assigned]:
    weights = {name: split.weight for name, split in recipe.splits.items()}
    splits = SplitAssignment(weights, by_recording=by_recording)
    recorded = _recorded(recipe, splits, report, seen)
    return chain(recorded, _texts(recipe, splits, report), _cues(recipe), _synthetic(recipe))


def _recorded(
    recipe: BuildRecipe, splits: SplitAssignment, report: Report, seen: Seen
) -> Iterator[Assigned]:
    cues: dict[str, list[str]] = {}
    for cue in recipe.cues:
        if cue.label is not None:
            cues.setdefault(cue.label, []).append(cue.name)
    for source in recipe.sources:
        for item in read(source, report):
            if isinstance(item, Dialogue):
                yield Assigned(splits.next_of("dialogues"), "dialogues", item)
                continue
            if len(seen.labels) < _MOST_LABELS:
                seen.labels.update(item.labels)
            tables = tables_of(item, recipe.noise_labels)
            named = [name for label in item.labels for name in cues.get(label, ())]
            if tables or named:
                split = splits.clip(item, f"{tables[:1]}{named or item.labels[:1]}")
                yield from (Assigned(split, name, item, is_cue=True) for name in named)
                yield from (Assigned(split, table, item) for table in tables)


def tables_of(clip: Clip, noise_labels: tuple[str, ...]) -> tuple[str, ...]:
    """The tables that a recording belongs to."""
    if clip.kind == "speech":
        if not clip.text:
            return ()
        return ("speech", "translated") if clip.translation else ("speech",)
    if clip.kind == "noise" or set(clip.labels) & set(noise_labels):
        return ("event_noise",) if clip.texture == "event" else ("ambient_noise",)
    return ("sounds",) if clip.labels or clip.caption or clip.question else ()


def _texts(recipe: BuildRecipe, splits: SplitAssignment, report: Report) -> Iterator[Assigned]:
    """Sentences and dialogues of text files; each text is in one split."""
    for name in recipe.texts:
        for item in read_texts(Path(name), report):
            split = splits.text(item)
            if isinstance(item, Dialogue):
                yield Assigned(split, "dialogues", item)
            else:
                for table in tables_of(item, ()):
                    yield Assigned(split, table, item)


def _cues(recipe: BuildRecipe) -> Iterator[Assigned]:
    """Phrases still to be spoken, and takes of the sounds that are synthesised."""
    for split, config in recipe.splits.items():
        for cue in recipe.cues:
            if cue.say is not None:
                yield Assigned(split, cue.name, _phrase(cue, cue.say), is_cue=True)
            elif cue.sound is not None:
                for take in range(config.takes):
                    clip = synthesised_clip(cue.sound, recipe.seed, split, cue.name, take)
                    yield Assigned(split, cue.name, clip, is_cue=True)


def _phrase(cue: CueConfig, text: str) -> Clip:
    return Clip(
        f"cue/{cue.name}", "speech", Unspoken(), OWN_PHRASES, text=text, language=cue.language
    )


def _synthetic(recipe: BuildRecipe) -> Iterator[Assigned]:
    synthetic, seed = recipe.synthetic, recipe.seed
    for split, config in recipe.splits.items():
        for table in ("event_noise", "ambient_noise"):
            for kind in getattr(synthetic, table):
                for take in range(max(1, config.takes // 4)):
                    about = (seed, split, table, take)
                    clip = synthesised_clip(kind, *about, seconds=synthetic.noise_s)
                    yield Assigned(split, table, clip)
        for kind in synthetic.sounds:
            texture = sound_kind(kind).role != "foreground"
            seconds = synthetic.noise_s / 2 if texture else None
            for take in range(config.takes):
                clip = synthesised_clip(kind, seed, split, "sounds", take, seconds=seconds)
                yield Assigned(split, "sounds", clip)


def _judged(
    sounds: list[tuple[str, Clip]],
    rules: Policy,
    client: ChatClient | None,
    needed: Mapping[str, frozenset[str]],
    report: Report,
) -> Iterator[Assigned]:
    """Sounds with their judgement; those that call for help, and those that do not, once more.

    Borderline sounds are dropped by choice (paper, section 2.5): no stream could label them.
    """
    for split in dict.fromkeys(split for split, _ in sounds):
        clips = [clip for home, clip in sounds if home == split]
        for clip in judged(clips, rules, client, report):
            yield Assigned(split, "sounds", clip)
            judgement = clip.judgement
            if judgement is None or "alarms" not in needed[split]:
                continue
            if judgement.reply is None:
                yield Assigned(split, "benign", clip)
            elif judgement.category:
                yield Assigned(split, "alarms", clip)
