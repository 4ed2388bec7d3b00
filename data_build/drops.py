"""Dropped items: what a build leaves out, where, and why.

::

    raise Dropped(Drop(...))     one item cannot be used: the build goes on, and drops.jsonl says it

A server that is gone is no drop: `soundflow.endpoints.http_calls.ServerGone` stops the build.

Code that finds an item unusable raises `Dropped`; code that continues without it reports the `Drop`
that the exception carries.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple

from soundflow.atomic import atomic_write
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


Report = Callable[[Drop], None]  # takes the items that are left out


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


class Fault(NamedTuple):
    """What drops are counted by."""

    step: str
    reason: str
    kind: DropKind


class DropsFile(AbstractContextManager["DropsFile"]):
    """Writes every different drop once, in order; the file appears when the block ends well.

    Attributes:
        counts: how many different items each fault has.
    """

    def __init__(self, path: Path) -> None:
        self.counts = Counter[Fault]()
        self._written = set[int]()  # their hashes: there may be millions
        self._stack = ExitStack()
        self._path = path
        self._file: BinaryIO

    def __enter__(self) -> DropsFile:
        self._file = self._stack.enter_context(atomic_write(self._path))
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)

    def add(self, drops: Iterable[Drop]) -> None:
        for drop in drops:
            if hash(drop) in self._written:
                continue
            self._written.add(hash(drop))
            self._file.write(json.dumps(asdict(drop), sort_keys=True).encode() + b"\n")
            self.counts[fault_of(drop)] += 1


def fault_of(drop: Drop) -> Fault:
    return Fault(drop.step, drop.reason, drop.kind)


def by_reason(counts: Mapping[Fault, int]) -> dict[str, int]:
    """ "step: reason" -> how many items, most frequent first."""
    total = Counter[str]()
    for fault, n in counts.items():
        total[f"{fault.step}: {fault.reason}"] += n
    return dict(sorted(total.items(), key=lambda pair: (-pair[1], pair[0])))


def count_drops(drops: Iterable[Drop]) -> dict[str, int]:
    """As `by_reason`, of drops."""
    return by_reason(Counter(map(fault_of, drops)))
