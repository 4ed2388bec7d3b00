"""Baselines that need the truth: oracles, and the silence timer at its best setting.

Oracles know the answers, and show that the metrics measure what they should::

    oracle               everything 1, latency 0
    oracle 1.9 s early   recall 0, all early, latency -1.9 s
    oracle 3 s late      recall 0 at W = 2, 1 at W = 5
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

from inference.evaluate.outcome import Outcome, TimedReply
from inference.evaluate.systems.baselines import Baseline, SilenceTimer, audio_of
from inference.evaluate.task import Item
from inference.evaluate.timing.rows import TimingRow, row_of, windows_of
from inference.evaluate.timing.truth import Truth
from soundflow.errors import UserError
from soundflow.protocol.timebase import TimeBase

ORACLE = "oracle"  # their names begin with it
EARLY_ORACLE_S = -1.9
LATE_ORACLE_S = 3.0
MARGINS_DB = (3.0, 6.0, 9.0, 12.0)
SILENCES_S = (0.2, 0.4, 0.8)


def oracle(time: TimeBase, name: str = ORACLE, shift_s: float = 0.0) -> Baseline[Truth]:
    """Answers every event correctly, ``shift_s`` after its ``ready``."""
    shift = time.samples(shift_s)

    def answer(item: Item[Truth]) -> Outcome:
        replies = [
            TimedReply(max(0, e.ready_samples + shift), e.answers[0])
            for e in item.reference.events
            if e.must_respond
        ]
        return Outcome(tuple(sorted(replies, key=lambda r: r.at_samples)))

    return Baseline(name, answer)


def oracles(time: TimeBase) -> list[Baseline[Truth]]:
    return [
        oracle(time),
        oracle(time, f"{ORACLE} {-EARLY_ORACLE_S:g} s early", EARLY_ORACLE_S),
        oracle(time, f"{ORACLE} {LATE_ORACLE_S:g} s late", LATE_ORACLE_S),
    ]


def best_timer(items: Sequence[Item[Truth]], time: TimeBase, late_s: float) -> SilenceTimer:
    """The setting with the best F1 on held-out streams; reads their audio once. The baseline to
    beat must not be handicapped.
    """
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
