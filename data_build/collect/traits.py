"""What tasks need of the items of a split, beyond a table that is not empty."""

from __future__ import annotations

from dataclasses import dataclass

from data_build.drops import Dropped
from data_build.labelling.history import ROUNDS_BETWEEN
from data_build.labelling.policy import Policy
from data_build.records import Clip, Dialogue
from data_build.scenes.ontology import ontology
from data_build.tasks.table import Trait

ALARM, BENIGN, UNDECIDED = "alarm", "benign", "undecided"


@dataclass(frozen=True)
class Wanted:
    """What a message says of a trait that nothing in a split has.

    Attributes:
        words: what it calls items that have it.
        table: what these are in.
        why: why there is none; empty: how many other splits have says it.
    """

    words: str
    table: str
    why: str = ""


WANTED: dict[Trait, Wanted] = {
    "several_turns": Wanted("dialogues of several turns", "dialogues"),
    "one_turn": Wanted("questions with one answer", "dialogues"),
    "emotions": Wanted("dialogues with emotions", "dialogues"),
    "long_dialogue": Wanted(f"dialogues of {ROUNDS_BETWEEN} turns or more", "dialogues"),
    "placed_sound": Wanted(
        "sounds that belong in a place", "sounds",
        "none of its labels is in data_build/scenes/settings.tsv",
    ),
    "two_speakers": Wanted("two speakers", "speech", "it has one"),
    "both_directions": Wanted(
        "translations in both directions of two languages", "translated", "it has no such pair",
    ),
    "two_kinds": Wanted("two kinds of sound", "sounds", "it has one"),
}  # fmt: skip


def traits_of(item: Clip | Dialogue) -> list[Trait]:
    """The traits of an item by itself: of a dialogue."""
    if isinstance(item, Clip):
        return []
    turns = len(item.turns)
    has: dict[Trait, bool] = {
        "several_turns": turns > 1,
        "one_turn": turns == 1,
        "emotions": any(turn.emotion != "normal" for turn in item.turns),
        "long_dialogue": turns >= ROUNDS_BETWEEN,
    }
    return [name for name, true in has.items() if true]


def in_a_place(clip: Clip) -> bool:
    """Whether a scene can be planned around a sound: it belongs in one of the settings."""
    found = (ontology().find(label) for label in clip.labels)
    return any(sound is not None and ontology().placed(sound.name) for sound in found)


def verdict_of(clip: Clip, rules: Policy) -> str:
    """Whether a sound calls for help, deserves no reply, or neither, by the rules."""
    try:
        judgement = rules.judgement(clip)
    except Dropped:
        return UNDECIDED
    if judgement.reply is None:
        return BENIGN
    return ALARM if judgement.category else UNDECIDED
