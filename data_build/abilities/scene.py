"""What every planner shares: a drawn clip of a pool, a cue as an item."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from data_build.material.library import Cue
from data_build.records import Clip, Item, PlannedReply
from soundflow.errors import UserError


@dataclass(frozen=True)
class Planned:
    """The items of a stream, in order, and what its provenance should remember."""

    items: tuple[Item, ...]
    notes: dict[str, Any] = field(default_factory=dict)


def draw(pool: Sequence[Clip], what: str, rng: np.random.Generator) -> Clip:
    """Any clip of ``pool``.

    Raises:
        UserError: if the pool is empty; ``what`` names it.
    """
    if not len(pool):
        raise UserError(
            f"no {what} in the library of this split",
            "add a source or cue that gives some, or leave the task out",
        )
    return pool[int(rng.integers(len(pool)))]


def cue_item(cue: Cue, rng: np.random.Generator, *, replies: bool = True) -> Item:
    """A random take of ``cue``, with its reply if it has one."""
    config = cue.config
    planned: tuple[PlannedReply, ...] = ()
    if replies and config.reply is not None:
        planned = (PlannedReply(config.reply, config.emotion, config.ready_s, config.answers),)
    return Item(draw(cue.takes, f"take of {config.name}", rng), config.name, replies=planned)


def any_cue(cues: Sequence[Cue], what: str, rng: np.random.Generator) -> Cue:
    """Any of ``cues``.

    Raises:
        UserError: if there is none; ``what`` names them.
    """
    if not cues:
        raise UserError(f"no {what} in the library of this split", "add one to the recipe")
    return cues[int(rng.integers(len(cues)))]
