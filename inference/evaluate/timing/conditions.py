"""Recall by what surrounds an event: the silence before it, and the noise around it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from inference.evaluate.statistics.counts import wilson
from inference.evaluate.task import Table
from inference.evaluate.timing.rows import TimingRow
from inference.evaluate.timing.truth import Truth
from soundflow.protocol.timebase import TimeBase

SILENCE_BOUNDS_S = (0.5, 1.0, 2.0, 5.0, 10.0)
SNR_BOUNDS_DB = (0.0, 5.0, 10.0, 15.0, 20.0)


def by_condition(
    truths: Sequence[Truth], rows: Sequence[TimingRow], time: TimeBase
) -> tuple[Table, ...]:
    """Tables of recall with Wilson intervals; empty ranges are left out."""

    def silence_s(truth: Truth, index: int) -> float:
        return time.seconds(truth.silence_before(index))

    return (
        _table(
            "Recall by silence before the event", "silence, s", SILENCE_BOUNDS_S, silence_s,
            truths, rows,
        ),
        _table(
            "Recall by signal-to-noise ratio", "SNR, dB", SNR_BOUNDS_DB,
            lambda truth, index: truth.snr_db, truths, rows,
        ),
    )  # fmt: skip


def _table(
    title: str,
    what: str,
    bounds: Sequence[float],
    of: Callable[[Truth, int], float | None],
    truths: Sequence[Truth],
    rows: Sequence[TimingRow],
) -> Table:
    hits, wanted = [0] * (len(bounds) + 1), [0] * (len(bounds) + 1)
    for truth, row in zip(truths, rows, strict=True):
        for index, hit in zip(truth.wanted, row.answered, strict=True):
            value = of(truth, index)
            if value is not None:
                at = sum(value >= b for b in bounds)
                hits[at] += hit
                wanted[at] += 1
    body = tuple((_range(bounds, k), str(n), wilson(hits[k], n)) for k, n in enumerate(wanted) if n)
    return Table(title, (what, "events to answer", "recall"), body)


def _range(bounds: Sequence[float], k: int) -> str:
    if k == 0:
        return f"below {bounds[0]:g}"
    if k == len(bounds):
        return f"{bounds[-1]:g} and more"
    return f"{bounds[k - 1]:g} to {bounds[k]:g}"
