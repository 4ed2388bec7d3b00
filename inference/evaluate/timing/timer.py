"""The silence timer at its best setting: the baseline to beat must not be handicapped."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

from inference.evaluate.systems.baselines import SilenceTimer, audio_of
from inference.evaluate.task import Item
from inference.evaluate.timing.rows import TimingRow, row_of, windows_of
from inference.evaluate.timing.truth import Truth
from soundflow.errors import UserError
from soundflow.protocol.timebase import TimeBase

MARGINS_DB = (3.0, 6.0, 9.0, 12.0)
SILENCES_S = (0.2, 0.4, 0.8)


def best_timer(items: Sequence[Item[Truth]], time: TimeBase, late_s: float) -> SilenceTimer:
    """The setting with the best F1 on held-out streams; reads their audio once."""
    timers = [
        SilenceTimer(time, margin_db=margin, silence_s=silence)
        for margin, silence in product(MARGINS_DB, SILENCES_S)
    ]
    windows = windows_of(time, late_s)
    rows: list[list[TimingRow]] = [[] for _ in timers]
    for item in items:
        try:
            audio = audio_of(item)
        except UserError:  # decoding the model on it names it
            continue
        for found, timer in zip(rows, timers, strict=True):
            found.append(row_of(item.reference, timer(audio), time, windows))
    return timers[max(range(len(timers)), key=lambda k: _f1(rows[k]))]


def _f1(rows: Sequence[TimingRow]) -> float:
    """Without an interval: only the best is wanted."""
    return 2.0 * sum(r.hits for r in rows) / max(1, sum(r.wanted + r.said for r in rows))
