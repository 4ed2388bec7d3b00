"""Whether a model holds up when streams get longer: the same streams, joined.

The published model keeps 91 % of its accuracy over 1 to 5 joined segments. Every length uses the
same streams, so that lengths are compared on the same events::

    1:   a | b | c | d | e | f
    2:   a b | c d | e f
    3:   a b c | d e f
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
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


def joined(
    items: Sequence[Item[Truth]], size: Callable[[Sequence[Item[Truth]]], bool], label: str
) -> list[tuple[Item[Truth], tuple[int, ...]]]:
    """Items in order, joined until ``size`` says that a group is complete; the last may be shorter.

    Returns:
        Each joined item, with the places of its parts.
    """
    found: list[tuple[Item[Truth], tuple[int, ...]]] = []
    group: list[int] = []
    for place in range(len(items)):
        group.append(place)
        parts = [items[k] for k in group]
        if size(parts) or place == len(items) - 1:
            name = f"{label}:{len(found):04d}"
            truth = _joined_truth(name, [p.reference for p in parts])
            item = Item(name, truth.n_samples, partial(_open, name, parts), truth)
            found.append((item, tuple(group)))
            group = []
    return found


def length(
    label: str,
    single: Sequence[TimingRow],
    long: Sequence[TimingRow],
    parts: Sequence[tuple[int, ...]],
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
