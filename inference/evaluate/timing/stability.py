"""Whether a model holds up when streams get longer: the same streams, joined.

The published model keeps 91 % of its accuracy over 1 to 5 joined segments. Every length uses the
same streams, so that lengths are compared on the same events; an hour, where there is less, takes
them again and again. A spoken instruction stays in force in the streams that follow, so data for
this should hold none::

    1:   a | b | c | d | e | f
    2:   a b | c d | e f
    3:   a b c | d e f
    1 h: a b c d e f a b c d ...
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import cycle
from typing import Any

import numpy as np
import numpy.typing as npt

from inference.evaluate.statistics.figures import Array, Draws, Figure, statistic
from inference.evaluate.task import Item
from inference.evaluate.timing.metrics import Metrics, figures
from inference.evaluate.timing.rows import TimingRow
from inference.evaluate.timing.truth import Truth
from inference.sources.recordings import Recording
from soundflow.protocol.turns import Event

Float32 = npt.NDArray[np.float32]
# Which of the single streams a joined one is made of.
Places = tuple[int, ...]


@dataclass(frozen=True)
class Length:
    """The figures of streams of one length.

    Attributes:
        label: "3 segments", "1 h".
        retained: F1 over that of the same streams one by one.
    """

    label: str
    n_streams: int
    metrics: Metrics
    retained: Figure

    def to_json(self) -> dict[str, Any]:
        names = ("f1", "recall", "precision", "false_per_hour", "latency_p50_s")
        return {
            "label": self.label,
            "n_streams": self.n_streams,
            "retained": self.retained.to_json(),
            **{name: self.metrics[name].to_json() for name in names},
        }


def of_one_instruction(truths: Sequence[Truth]) -> list[int]:
    """The streams with the commonest one: what is right under another is not right under it."""
    commonest = Counter(t.system for t in truths).most_common(1)
    return [k for k, t in enumerate(truths) if t.system == commonest[0][0]]


def by_number(n_items: int, size: int) -> list[Places]:
    """Items in order, ``size`` at a time; the last group may be smaller."""
    return [tuple(range(n_items))[at : at + size] for at in range(0, n_items, size)]


def by_length(lengths: Sequence[int], at_least: int) -> list[Places]:
    """Items in order until they are as long as asked, as often as all of them allow.

    Where they are not long enough together, one group takes them again and again.
    """
    if not sum(lengths):
        return []
    groups: list[Places] = []
    group: list[int] = []
    so_far = 0
    for place in cycle(range(len(lengths))):
        if groups and place == 0:
            break
        group.append(place)
        so_far += lengths[place]
        if so_far >= at_least:
            groups.append(tuple(group))
            group, so_far = [], 0
    return groups


def joined(name: str, parts: Sequence[Item[Truth]]) -> Item[Truth]:
    """One stream of several, one after another."""
    truth = _joined_truth(name, [p.reference for p in parts])
    return Item(name, truth.n_samples, partial(_open, name, parts), truth)


def length(
    label: str,
    single: Sequence[TimingRow],
    long: Sequence[TimingRow],
    parts: Sequence[Places],
    signature: str,
) -> Length:
    """Compares the rows of joined streams with those of their parts."""

    def of(rows: Sequence[TimingRow], name: str) -> Array:
        return np.array([float(getattr(r, name)) for r in rows])

    def by_group(name: str) -> Array:
        column = of(single, name)
        return np.array([column[list(group)].sum() for group in parts])

    columns = [
        of(long, "hits"), of(long, "wanted") + of(long, "said"),
        by_group("hits"), by_group("wanted") + by_group("said"),
    ]  # fmt: skip
    retained = statistic(columns, lambda a, b, c, d: (a / b) / (c / d), Draws.of(len(long)))
    return Length(
        label, len(long), figures(long, signature), retained.signed(f"F1 ratio|{signature}")
    )


def _joined_truth(name: str, parts: Sequence[Truth]) -> Truth:
    events: list[Event] = []
    start = 0
    for part in parts:
        events += [
            replace(
                e,
                on_samples=e.on_samples + start,
                ready_samples=e.ready_samples + start,
                end_samples=e.end_samples + start,
            )
            for e in part.events
        ]
        start += part.n_samples
    return Truth(name, start, tuple(events), parts[0].ability, parts[0].task)


def _open(name: str, parts: Sequence[Item[Truth]]) -> Recording:
    first = parts[0].open()

    def blocks() -> Iterator[Float32]:
        yield from first.blocks
        for part in parts[1:]:
            yield from part.open().blocks

    return Recording(name, blocks(), first.system, pause_s=0.0)
