"""All material for streams, item by item, each with its split and table.

::

    sources ─▶ recordings, dialogues ─┐
    texts   ─▶ sentences, dialogues  ─┼─▶ Assigned(split, table, item)
    cues    ─▶ phrases, takes        ─┤      sounds ─▶ judged ─▶ alarms, benign
    synthetic sounds ─▶ takes        ─┘
"""

from __future__ import annotations

import operator
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from data_build.collect.candidates import candidates, tables_of
from data_build.collect.deal import Deal
from data_build.collect.kept_texts import kept_texts
from data_build.collect.text_rules import SUFFIX
from data_build.collect.traits import in_a_place, traits_of
from data_build.drops import Drop, Report
from data_build.expected_length import Kind, lengths_of
from data_build.labelling.judging import judged
from data_build.labelling.policy import Policy
from data_build.labelling.sounds import alike, sound_class
from data_build.randomness import digest
from data_build.recipe import BuildRecipe
from data_build.records import Clip, Dialogue, Unspoken
from data_build.speech.setup import is_unaligned
from data_build.speech.speech_source import CUE_PHRASES
from data_build.synth.kinds import sound_kind, synthesised_clip
from data_build.tasks.config import CueConfig
from data_build.tasks.table import Trait, needs_of, uses_judged_sounds
from data_build.wording.wording import SplitWording
from soundflow.endpoints.chat import ChatClient

_JUDGED_TOGETHER = 1_000
_MOST_LABELS = 100_000
STEP = "splits"


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
        traits: (split, trait) -> how many of its items have it; or that there are two of what a
            task needs two of.
        unaligned: (split, table, language, corpus) -> how much of its speech has neither word times
            nor an aligner.
        different: (split, trait) -> up to two speakers, or kinds of sound.
        directions: split -> the pairs of languages of its translations.
        seconds, timed: kind of item -> the sum of the lengths that are known, and of how many.
    """

    labels: Counter[str] = field(default_factory=Counter)
    rows: Counter[str] = field(default_factory=Counter)
    traits: Counter[tuple[str, Trait]] = field(default_factory=Counter)
    unaligned: Counter[tuple[str, str, str, str]] = field(default_factory=Counter)
    different: dict[tuple[str, Trait], list[str]] = field(default_factory=lambda: defaultdict(list))
    directions: dict[str, set[tuple[str, str]]] = field(default_factory=lambda: defaultdict(set))
    seconds: dict[Kind, float] = field(default_factory=lambda: defaultdict(float))
    timed: Counter[Kind] = field(default_factory=Counter)

    def note(self, row: Assigned) -> None:
        """Counts what tasks need two of, and how long items are."""
        clip = row.item
        for kind, length_s in lengths_of(row.table, clip, row.is_cue):
            self.seconds[kind] += length_s
            self.timed[kind] += 1
        if row.is_cue or not isinstance(clip, Clip):
            return
        if row.table == "speech":
            unspoken = isinstance(clip.audio, Unspoken)  # any two voices may say it
            for who in ("one voice", "another") if unspoken else (clip.speaker or clip.id,):
                self._note_another(row.split, "two_speakers", who, operator.eq)
        elif row.table == "translated":
            there, back = clip.language, clip.translation_language
            self.directions[row.split].add((there, back))
            self.traits[row.split, "both_directions"] += (back, there) in self.directions[row.split]
        elif row.table == "sounds":
            self._note_another(row.split, "two_kinds", sound_class(clip), alike)

    def _note_another(
        self, split: str, trait: Trait, name: str, same: Callable[[str, str], bool]
    ) -> None:
        """Counts a split that has two of something, none of which is the other."""
        known = self.different[split, trait]
        if len(known) < 2 and not any(same(name, other) for other in known):
            known.append(name)
            self.traits[split, trait] += len(known) == 2

    @property
    def lengths_s(self) -> dict[Kind, float]:
        """The mean length of the items of each kind of which any is known."""
        return {kind: self.seconds[kind] / n for kind, n in self.timed.items()}


@dataclass(frozen=True)
class TextStore:
    """Where the texts that rules make are kept, and whether this run keeps more of them."""

    folder: Path
    keep: bool


def material(
    recipe: BuildRecipe,
    client: ChatClient | None,
    deal: Deal,
    texts: TextStore,
    report: Report,
    seen: Seen,
) -> Iterator[Assigned]:
    """Everything that the tasks of the recipe draw from; ``seen`` counts it.

    Args:
        deal: the split of each item of the sources and texts.
        client: judges which sounds deserve a reply; None: the rules do.
        report: gets a drop for every item that is left out.

    Raises:
        UserError: if a source or text is missing.
    """
    everything = chain(
        _dealt(recipe, deal, report, seen), _written(recipe, texts, seen),
        _cues(recipe), _synthetic(recipe),
    )  # fmt: skip
    for row in _needed(recipe, client, everything, report, seen):
        seen.note(row)
        yield row


def _needed(
    recipe: BuildRecipe,
    client: ChatClient | None,
    everything: Iterable[Assigned],
    report: Report,
    seen: Seen,
) -> Iterator[Assigned]:
    """The items whose tables the tasks draw from, sounds with their judgement."""
    needed = {name: _tables(recipe, name) for name in recipe.splits}
    rules, languages = recipe.intervention_policy(), recipe.languages
    sounds: list[tuple[str, Clip]] = []
    for assigned in everything:
        if not assigned.is_cue:
            seen.rows[assigned.table] += 1
        if not assigned.is_cue and assigned.table == "sounds":
            if "sounds" in needed[assigned.split]:
                assert isinstance(assigned.item, Clip)
                sounds.append((assigned.split, assigned.item))
            if len(sounds) == _JUDGED_TOGETHER:
                yield from _judged(sounds, rules, client, needed, report, seen, languages)
                sounds = []
        elif assigned.is_cue or assigned.table in needed[assigned.split]:
            yield assigned
    yield from _judged(sounds, rules, client, needed, report, seen, languages)


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


def _dealt(recipe: BuildRecipe, deal: Deal, report: Report, seen: Seen) -> Iterator[Assigned]:
    """Sources and texts, each item in the split that it was dealt to."""
    number = -1
    for number, candidate in enumerate(candidates(recipe, deal.checked, report)):
        item = candidate.item
        if isinstance(item, Clip) and len(seen.labels) < _MOST_LABELS:
            seen.labels.update(item.labels)
        split, item = deal.of(number, item)
        if split is None:
            report(Drop(STEP, item.id, "has a text that another split has", "choice"))
            continue
        seen.traits.update((split, trait) for trait in traits_of(item))
        if isinstance(item, Clip) and is_unaligned(item, recipe.speech):
            seen.unaligned.update(
                (split, table, item.language or "en", item.origin.corpus)
                for table in candidate.tables
            )
        yield from (Assigned(split, name, item, is_cue=True) for name in candidate.cues)
        yield from (Assigned(split, table, item) for table in candidate.tables)
    deal.require(number + 1)


def _written(recipe: BuildRecipe, texts: TextStore, seen: Seen) -> Iterator[Assigned]:
    """The texts that rules make for each split."""
    for split, wording in recipe.split_wordings().items():
        for path in (Path(text) for text in recipe.texts if text.endswith(SUFFIX)):
            for item in kept_texts(path, wording, recipe.seed, texts.folder, keep=texts.keep):
                seen.traits.update((split, trait) for trait in traits_of(item))
                yield from (Assigned(split, table, item) for table in tables_of(item, ()))


def _cues(recipe: BuildRecipe) -> Iterator[Assigned]:
    """Phrases still to be spoken, and takes of the sounds that are synthesised."""
    wordings = recipe.split_wordings()
    for split, config in recipe.splits.items():
        for cue in recipe.cues:
            if cue.say is not None:
                for text in _phrases(cue.say, cue, wordings[split], config.takes):
                    yield Assigned(split, cue.name, _phrase(cue, text), is_cue=True)
            elif cue.sound is not None:
                for take in range(config.takes):
                    clip = synthesised_clip(cue.sound, recipe.seed, split, cue.name, take)
                    yield Assigned(split, cue.name, clip, is_cue=True)


def _phrases(line: str, cue: CueConfig, wording: SplitWording, takes: int) -> list[str]:
    """The texts of a cue: as many of its line as there are takes, a plain text as it is."""
    words = (wording.stream(cue.name, take).speaking(cue.language) for take in range(takes))
    return list(dict.fromkeys(of_take.text(line) for of_take in words))


def _phrase(cue: CueConfig, text: str) -> Clip:
    return Clip(
        f"cue/{cue.name}/{digest(text)[:8]}", "speech", Unspoken(), CUE_PHRASES,
        text=text, language=cue.language,
    )  # fmt: skip


def _synthetic(recipe: BuildRecipe) -> Iterator[Assigned]:
    synthetic, seed = recipe.synthetic, recipe.seed
    for split, config in recipe.splits.items():
        for table in ("event_noise", "ambient_noise"):
            for kind in getattr(synthetic, table):
                for take in range(synthetic.noise_takes):
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
    seen: Seen,
    languages: Sequence[str],
) -> Iterator[Assigned]:
    """Sounds with their judgement; those that call for help, and those that do not, once more.

    Borderline sounds are dropped by choice (paper, section 2.5): no stream could label them.
    """
    for split in dict.fromkeys(split for split, _ in sounds):
        clips = [clip for home, clip in sounds if home == split]
        for clip in judged(clips, rules, client, report, languages):
            yield Assigned(split, "sounds", clip)
            seen.traits[split, "placed_sound"] += in_a_place(clip)
            judgement = clip.judgement
            if judgement is None or "alarms" not in needed[split]:
                continue
            if judgement.reply is None:
                yield Assigned(split, "benign", clip)
            elif judgement.category:
                yield Assigned(split, "alarms", clip)
