"""The figures of the timing protocol (section 1.4) over a set of streams.

============================  =====================================================================
recall, precision, f1         hits over events to answer, over replies, and their harmonic mean
false_per_hour                early + repeats + strays an hour of audio that was heard
false_per_hour_negative       the same over the streams in which nothing deserves a reply
latency_p50_s / p90 / p95     signed: onset - ready of every hit, and of the early reply to an event
                              that got no hit (negative)
early_share                   events to answer that got an early reply
repeats, misses, failures     counts (failures: streams that crashed, timed out and so on)
reply_exact                   events to answer whose hit is word for word one of the answers
reply_exact_of_hits           the same over the hits alone
content                       1 - word error rate (at least 0) to the nearest answer, over the hits
============================  =====================================================================

Rates an hour and shares carry the bootstrap's interval or that of their count (Poisson, Wilson),
whichever is wider (`statistics.counts`). The hours of a rate are those that were heard: a stream
that failed has its events in every denominator, but nobody listened to its silence.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from inference.evaluate.outcome import Outcome
from inference.evaluate.statistics.counts import rate, share
from inference.evaluate.statistics.figures import (
    COVERAGE,
    RESAMPLES,
    Array,
    Draws,
    Figure,
    count,
    quantiles,
    ratio,
)
from inference.evaluate.timing.rows import EARLY_S, TimingRow, rows_of
from inference.evaluate.timing.truth import Truth
from soundflow.protocol.timebase import TimeBase

QUANTILES = (0.50, 0.90, 0.95)

Metrics = dict[str, Figure]


def score(
    truths: Sequence[Truth],
    outcomes: Sequence[Outcome],
    time: TimeBase,
    late_s: float = 2.0,
    seed: int = 0,
) -> Metrics:
    """Every figure of the table above, with its interval where it is a ratio or a quantile.

    Raises:
        ValueError: if there is not one outcome for every stream.
    """
    return figures(rows_of(truths, outcomes, time, late_s), signature_of(time, late_s), seed)


def signature_of(time: TimeBase, late_s: float) -> str:
    """What decides about the figures, in one line."""
    return (
        f"soundflow-timing:1|window:{late_s:g}s|early:{EARLY_S:g}s|chunk:{time.chunk_s:g}s|"
        f"bootstrap:{RESAMPLES}x streams|interval:{COVERAGE:g}"
    )


def figures(rows: Sequence[TimingRow], signature: str = "", seed: int = 0) -> Metrics:
    """The figures of rows, whose order does not matter except to the bootstrap."""
    draws = Draws.of(len(rows), seed)

    def c(name: str) -> Array:
        return np.array([float(getattr(row, name)) for row in rows], np.float64)

    hours, heard, negative = c("hours"), c("heard_hours"), c("negative")
    hits, said, wanted, false = c("hits"), c("said"), c("wanted"), c("false")
    # A system without words (the timer, the random one) has no reply accuracy, not a bad one.
    speaks_words = c("written").sum() > 0 or said.sum() == 0
    exact_of = wanted if speaks_words else np.zeros(len(rows))
    latency_s, row_of = _ragged([row.latency_s for row in rows])
    found: Metrics = {
        "recall": share(hits, wanted, draws),
        "precision": share(hits, said, draws),
        "f1": share(hits, (wanted + said) / 2.0, draws),
        "false_per_hour": rate(false, heard, draws),
        "false_per_hour_negative": rate(false * negative, heard * negative, draws),
    }
    for q, found_q in zip(QUANTILES, quantiles(latency_s, row_of, QUANTILES, draws), strict=True):
        found[f"latency_p{round(q * 100)}_s"] = found_q
    found |= {
        "early_share": share(c("early_events"), wanted, draws),
        "reply_exact": share(c("exact"), exact_of, draws),
        "reply_exact_of_hits": share(c("exact"), c("written"), draws),
        "content": ratio(c("content"), c("written"), draws),
    }
    for name in ("wanted", "said", "hits", "false", "repeats", "misses"):
        found[name] = count(c(name))
    found["failures"] = count(c("failed"))
    found["hours"] = count(hours)
    found["hours_negative"] = count(heard * negative)
    return {name: figure.signed(signature) for name, figure in found.items()}


def _ragged(lists: Sequence[Sequence[float]]) -> tuple[Array, npt.NDArray[np.int64]]:
    """All values, and the index of the list that each comes from."""
    values = np.array([v for found in lists for v in found], np.float64)
    return values, np.repeat(np.arange(len(lists)), [len(found) for found in lists])
