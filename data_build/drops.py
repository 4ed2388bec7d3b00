"""Dropped items: what a build leaves out, where, and why.

::

    raise Dropped(Drop(...))     one item cannot be used: the build goes on, and drops.jsonl says it

A server that is gone is no drop: `soundflow.endpoints.http_calls.ServerGone` stops the build.

Code that finds an item unusable raises `Dropped`; code that continues without it reports the `Drop`
that the exception carries.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from soundflow.endpoints.http_calls import CallFailure

# A loss counts against the ceiling of a build: a row or clip that cannot be used, a stream that no
# plan could make. A choice is what a policy or a setting leaves out, and a plan that was given up
# for another.
DropKind = Literal["loss", "choice"]


@dataclass(frozen=True)
class Drop:
    """A dropped item.

    Attributes:
        step: the step of the build that found it.
        item: the item's id, or file and line where it has none yet.
        reason: equal for all items with the same fault, so that a report can count them; numbers
            and names that differ from item to item belong in ``item``.
        kind: whether the item is lost, or was left out by choice.
    """

    step: str
    item: str
    reason: str
    kind: DropKind = "loss"


class Dropped(Exception):
    """Raised where an item is found unusable; carries its `Drop`."""

    def __init__(self, drop: Drop) -> None:
        super().__init__(f"{drop.item}: {drop.reason}")
        self.drop = drop

    def __reduce__(self) -> tuple[type[Dropped], tuple[Drop]]:
        return type(self), (self.drop,)


def unanswered(failure: CallFailure, step: str, item: str) -> Drop:
    """An item for which a server had no usable answer."""
    reason = f"no usable answer from the server: {failure.kind}"
    return Drop(step, f"{item}: {failure.detail}", reason)


def count_drops(drops: Iterable[Drop]) -> dict[str, int]:
    """ "step: reason" -> how many items, most frequent first."""
    counts = Counter(f"{drop.step}: {drop.reason}" for drop in drops)
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))
