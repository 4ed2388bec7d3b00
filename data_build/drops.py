"""Dropped items: what a build leaves out, where, and why.

::

    raise Dropped(Drop(...))     one item cannot be used: the build goes on, and drops.jsonl says it
    raise ServerGone(...)        a server is down: the build stops, and can be resumed

Code that finds an item unusable raises `Dropped`; code that continues without it reports the `Drop`
that the exception carries.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from soundflow.errors import UserError

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


class ServerGone(UserError):
    """A server that the recipe names has stopped responding.

    No item is dropped for it: the result of a build must not depend on when a server was down.

    Args:
        server: its base URL.
        detail: the outcome of the last call.
    """

    def __init__(self, server: str, detail: str) -> None:
        super().__init__(
            f"{server} has stopped answering: {detail}",
            "start the server again and run the same command; what is finished is kept",
        )
        self.server = server
        self.detail = detail

    def __reduce__(self) -> tuple[type[ServerGone], tuple[str, str]]:
        return type(self), (self.server, self.detail)


def count_drops(drops: Iterable[Drop]) -> dict[str, int]:
    """ "step: reason" -> how many items, most frequent first."""
    counts = Counter(f"{drop.step}: {drop.reason}" for drop in drops)
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))
