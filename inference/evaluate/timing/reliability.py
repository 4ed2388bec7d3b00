"""Whether p(response) means what it says: reliability, Brier score, expected calibration error.

A decision is right to speak if a reply that begins then would be a hit: some event that is still
unanswered became ready within the window before it. Each decision that the model took on its own is
one case; streams are resampled whole.

Brier (1950): mean of (p - y)^2. Expected calibration error (Naeini 2015; 15 bins of equal width as
Guo 2017): sum over bins of |mean p - share of y|, weighted by the cases in each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from inference.evaluate.outcome import Outcome
from inference.evaluate.statistics.figures import Draws, Figure, ratio, with_interval
from inference.evaluate.timing.rows import windows_of
from inference.evaluate.timing.triggers import match
from inference.evaluate.timing.truth import Truth
from soundflow.protocol.timebase import TimeBase

N_BINS = 15


@dataclass(frozen=True)
class Bin:
    """The decisions with p(response) in [low, high)."""

    low: float
    high: float
    n: int
    mean_p: float
    share: float


@dataclass(frozen=True)
class Reliability:
    """``base_rate`` is the share of decisions at which speaking is right; a model that always says
    so has the Brier score base_rate * (1 - base_rate)."""

    brier: Figure
    ece: Figure
    base_rate: Figure
    bins: tuple[Bin, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "brier": self.brier.to_json(),
            "ece": self.ece.to_json(),
            "base_rate": self.base_rate.to_json(),
            "bins": [asdict(b) for b in self.bins],
        }


def reliability(
    truths: Sequence[Truth],
    outcomes: Sequence[Outcome],
    time: TimeBase,
    late_s: float,
    seed: int = 0,
) -> Reliability:
    """Of the decisions with a probability; all figures are null where there is none."""
    n_streams = len(truths)
    # (stream, bin): cases, sum of p, sum of y; and the squared errors of each stream.
    cases, p_sums, y_sums = (np.zeros((n_streams, N_BINS)) for _ in range(3))
    squares = np.zeros(n_streams)
    for i, (truth, outcome) in enumerate(zip(truths, outcomes, strict=True)):
        for p, y in decisions(truth, outcome, time, late_s):
            at = min(int(p * N_BINS), N_BINS - 1)
            cases[i, at] += 1
            p_sums[i, at] += p
            y_sums[i, at] += y
            squares[i] += (p - y) ** 2
    draws = Draws.of(n_streams, seed)
    n = cases.sum(axis=1)
    signature = f"bins:{N_BINS} equal width|label:reply would be a hit within {late_s:g}s"
    gaps = np.abs(draws.counts @ p_sums - draws.counts @ y_sums).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        resampled = gaps / draws.sums(n)
    whole = float(np.abs(p_sums.sum(axis=0) - y_sums.sum(axis=0)).sum())
    total = float(n.sum())
    return Reliability(
        brier=ratio(squares, n, draws).signed(signature),
        ece=with_interval(whole / total if total else None, total, resampled).signed(signature),
        base_rate=ratio(y_sums.sum(axis=1), n, draws).signed(signature),
        bins=tuple(
            Bin(k / N_BINS, (k + 1) / N_BINS, int(c), float(p / c), float(y / c))
            for k, (c, p, y) in enumerate(
                zip(cases.sum(axis=0), p_sums.sum(axis=0), y_sums.sum(axis=0), strict=True)
            )
            if c
        ),
    )


def decisions(
    truth: Truth, outcome: Outcome, time: TimeBase, late_s: float
) -> list[tuple[float, bool]]:
    """(p(response), whether to speak would have been right) of every decision."""
    windows = windows_of(time, late_s)
    answered = {
        i: outcome.replies[j].at_samples
        for i, j in match(truth.events, outcome.replies, windows).hits
    }
    spans = [
        (e.ready_samples, min(e.ready_samples + windows.late_samples, answered.get(i, 1 << 62)))
        for i, e in enumerate(truth.events)
        if e.must_respond
    ]
    found = []
    for chunk, p in enumerate(outcome.p_response):
        if p is not None:
            at = time.decision_time_samples(chunk)
            found.append((p, any(first <= at <= last for first, last in spans)))
    return found
