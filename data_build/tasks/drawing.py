"""What every planner shares: a drawn clip of a pool, a cue as an item."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from data_build.pools.pools import Cue, Library
from data_build.records import Item, PlannedReply
from soundflow.errors import UserError

T = TypeVar("T")
_TRIES, _SCANNED = 32, 2_000


@dataclass(frozen=True)
class Planned:
    """The items of a stream, in order, and what its provenance should remember.

    A ``whole`` one makes no sense without its last item.
    """

    items: tuple[Item, ...]
    notes: dict[str, Any] = field(default_factory=dict)
    whole: bool = False


def how_many(bounds: tuple[int, int], rng: np.random.Generator) -> int:
    """A number of ``bounds``, both included."""
    return int(rng.integers(bounds[0], bounds[1] + 1))


def phrase(phrases: Sequence[str], rng: np.random.Generator) -> str:
    return phrases[int(rng.integers(len(phrases)))]


def asked(library: Library, text: str, rng: np.random.Generator, reply: PlannedReply) -> Item:
    """A spoken request or question of the user, answered at its end.

    Raises:
        Dropped: if it cannot be spoken.
    """
    return Item(library.speaker.say(text, rng), "user turn", replies=(reply,))


def pick(pool: Sequence[T], fits: Callable[[T], bool], what: str, rng: np.random.Generator) -> T:
    """Any item of ``pool`` that ``fits``; looks at a bounded number of them.

    Raises:
        UserError: if none does; ``what`` names it.
    """
    if len(pool):
        for _ in range(_TRIES):
            item = pool[int(rng.integers(len(pool)))]
            if fits(item):
                return item
        start = int(rng.integers(len(pool)))
        for step in range(min(len(pool), _SCANNED)):
            item = pool[(start + step) % len(pool)]
            if fits(item):
                return item
    raise UserError(
        f"no {what} in the library of this split",
        "add a source, texts or sounds that give some, or leave the task out",
    )


def draw(pool: Sequence[T], what: str, rng: np.random.Generator) -> T:
    """Any item of ``pool``.

    Raises:
        UserError: if the pool is empty; ``what`` names it.
    """
    if not len(pool):
        raise UserError(
            f"no {what} in the library of this split",
            "add a source or cue that gives some, or leave the task out",
        )
    return pool[int(rng.integers(len(pool)))]


def cue_item(library: Library, cue: Cue, rng: np.random.Generator, *, replies: bool = True) -> Item:
    """A random take of ``cue``, with its reply if it has one.

    Raises:
        Dropped: if it cannot be spoken.
    """
    config = cue.config
    planned: tuple[PlannedReply, ...] = ()
    if replies and config.reply is not None:
        planned = (PlannedReply(config.reply, config.emotion, config.ready_s, config.answers),)
    clip = library.spoken(draw(cue.takes, f"take of {config.name}", rng), rng)
    return Item(clip, config.name, replies=planned)


def any_cue(cues: Sequence[Cue], what: str, rng: np.random.Generator) -> Cue:
    """Any of ``cues``.

    Raises:
        UserError: if there is none; ``what`` names them.
    """
    if not cues:
        raise UserError(f"no {what} in the library of this split", "add one to the recipe")
    return cues[int(rng.integers(len(cues)))]
