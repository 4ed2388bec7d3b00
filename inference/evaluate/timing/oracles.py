"""Oracles: they know the answers, and show that the metrics measure what they should.

::

    oracle               everything 1, latency 0
    oracle 1.9 s early   recall 0, all early, latency -1.9 s
    oracle 3 s late      recall 0 at W = 2, 1 at W = 5
"""

from __future__ import annotations

from inference.evaluate.outcome import Outcome, TimedReply
from inference.evaluate.systems.baselines import Baseline
from inference.evaluate.task import Item
from inference.evaluate.timing.truth import Truth
from soundflow.protocol.timebase import TimeBase

ORACLE = "oracle"  # their names begin with it
EARLY_ORACLE_S = -1.9
LATE_ORACLE_S = 3.0


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
