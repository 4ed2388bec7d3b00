"""What tasks need of the items of a split, beyond a table that is not empty."""

from __future__ import annotations

from dataclasses import dataclass

from data_build.drops import Dropped
from data_build.labelling.history import ROUNDS_BETWEEN
from data_build.labelling.policy import Policy
from data_build.records import Clip, Dialogue
from data_build.scenes.ontology import ontology

IN_A_PLACE = "in_a_place"  # of sounds that are judged
ALARM, BENIGN, UNDECIDED = "alarm", "benign", "undecided"


@dataclass(frozen=True)
class Trait:
    """A trait of items.

    Attributes:
        words: what a message calls items that have it.
        tasks: those that are impossible without one.
    """

    words: str
    tasks: tuple[str, ...]


TRAITS = {
    "several_turns": Trait("dialogues of several turns", ("chat_multi_turn",)),
    "one_turn": Trait("questions with one answer", ("answer_facts",)),
    "emotions": Trait("dialogues with emotions", ("chat_with_emotion",)),
    "long_dialogue": Trait(
        f"dialogues of {ROUNDS_BETWEEN} turns or more", ("recall_conversation",)
    ),
}


def traits_of(item: Clip | Dialogue) -> list[str]:
    """The traits of an item."""
    if isinstance(item, Clip):
        return []
    turns = len(item.turns)
    has = {
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
