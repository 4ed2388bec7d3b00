"""The silence timer at its best setting: the baseline to beat must not be handicapped."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

from inference.evaluate.outcome import Outcome
from inference.evaluate.systems.baselines import SilenceTimer, audio_of
from inference.evaluate.task import Item
from inference.evaluate.timing.metrics import score
from inference.evaluate.timing.truth import Truth
from soundflow.errors import UserError
from soundflow.protocol.timebase import TimeBase

MARGINS_DB = (3.0, 6.0, 9.0, 12.0)
SILENCES_S = (0.2, 0.4, 0.8)


def best_timer(items: Sequence[Item[Truth]], time: TimeBase) -> SilenceTimer:
    """The setting with the best F1 on held-out streams; reads their audio once."""
    timers = [
        SilenceTimer(time, margin_db=margin, silence_s=silence)
        for margin, silence in product(MARGINS_DB, SILENCES_S)
    ]
    truths: list[Truth] = []
    outcomes: list[list[Outcome]] = [[] for _ in timers]
    for item in items:
        try:
            audio = audio_of(item)
        except UserError:  # decoding the model on it names it
            continue
        truths.append(item.reference)
        for found, timer in zip(outcomes, timers, strict=True):
            found.append(timer(audio))
    f1 = [score(truths, found, time)["f1"].value or 0.0 for found in outcomes]
    return timers[f1.index(max(f1))]
