"""The figures of the timing protocol (section 1.4) over a set of streams.

============================  =====================================================================
recall, precision, f1         hits over events to answer, over replies, and their harmonic mean
false_per_hour                early + repeats + strays an hour of audio, over all streams
false_per_hour_negative       the same over the streams in which nothing deserves a reply
latency_p50_s / p90 / p95     signed: onset - ready of every hit, and of the early reply to an event
                              that got no hit (negative)
early_share                   events to answer that got an early reply
repeats, misses, failures     counts (failures: streams that crashed or timed out)
reply_exact                   events to answer whose hit is word for word one of the answers
reply_exact_of_hits           the same over the hits alone
content                       1 - word error rate (at least 0) to the nearest answer, over the hits
============================  =====================================================================
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from inference.evaluate.bootstrap import (
    Estimate,
    harmonic,
    quantile,
    ratio,
    resample_counts,
)
from inference.evaluate.outcome import Outcome, Truth
from inference.evaluate.triggers import Matching, Onset, Windows, match
from soundflow.protocol.timebase import TimeBase
from soundflow.protocol.turns import Event
from soundflow.text.wer import count_errors

EARLY_S = 2.0
QUANTILES = (0.50, 0.90, 0.95)

Metrics = dict[str, Estimate]


@dataclass
class _Tally:
    """One row a stream; columns are summed, resampled and divided later."""

    rows: list[dict[str, float]] = field(default_factory=list)
    latency_s: list[float] = field(default_factory=list)
    stream_of: list[int] = field(default_factory=list)

    def column(self, name: str) -> npt.NDArray[np.float64]:
        return np.array([row[name] for row in self.rows], np.float64)


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
    if len(truths) != len(outcomes):
        raise ValueError(f"{len(truths)} streams but {len(outcomes)} outcomes")
    windows = windows_of(time, late_s)
    tally = _Tally()
    for index, (truth, outcome) in enumerate(zip(truths, outcomes, strict=True)):
        matching = match(truth.events, outcome.onsets, windows)
        tally.rows.append(_row(truth, outcome, matching, time))
        for samples in _latencies(truth.events, outcome.onsets, matching):
            tally.latency_s.append(time.seconds(samples))
            tally.stream_of.append(index)
    return _estimates(tally, seed)


def windows_of(time: TimeBase, late_s: float) -> Windows:
    """How late a reply may come, with the protocol's bound on how early."""
    return Windows(time.samples(late_s), time.samples(EARLY_S))


def _row(truth: Truth, outcome: Outcome, matching: Matching, time: TimeBase) -> dict[str, float]:
    hours = time.seconds(truth.n_samples) / 3600.0
    negative = float(truth.is_negative)
    replies = [(truth.events[i], outcome.onsets[j]) for i, j in matching.hits]
    written = [(e, o.text) for e, o in replies if o.text is not None]
    return {
        "wanted": len(matching.hits) + len(matching.misses),
        "hits": len(matching.hits),
        "said": len(outcome.onsets),
        "false": matching.n_false,
        "hours": hours,
        "false_negative": matching.n_false * negative,
        "hours_negative": hours * negative,
        "early_events": len({i for i, _ in matching.early}),
        "repeats": len(matching.repeats),
        "misses": len(matching.misses),
        "failures": float(outcome.failure is not None),
        "written": len(written),
        "exact": sum(is_exact(text, e.answers) for e, text in written),
        "content": sum(content_score(text, e.answers) for e, text in written),
    }


def _latencies(events: Sequence[Event], onsets: Sequence[Onset], matching: Matching) -> list[int]:
    replied = dict(matching.hits)
    for i, j in matching.early:
        replied.setdefault(i, j)
    return [onsets[j].at_samples - events[i].ready_samples for i, j in replied.items()]


def is_exact(text: str, answers: Sequence[str]) -> bool:
    return text.strip() in {a.strip() for a in answers}


def content_score(text: str, answers: Sequence[str]) -> float:
    """1 - word error rate, at least 0, against the nearest answer."""
    rates = [count_errors(a, text).rate for a in answers]
    return max((max(0.0, 1.0 - r) for r in rates if r is not None), default=0.0)


def _estimates(tally: _Tally, seed: int) -> Metrics:
    draws = resample_counts(len(tally.rows), seed)
    c = tally.column
    values, stream_of = np.array(tally.latency_s), np.array(tally.stream_of, np.int64)
    # A system without words (the timer, the random one) has no reply accuracy, not a bad one.
    speaks_words = c("written").sum() > 0 or c("said").sum() == 0
    exact_of = c("wanted") if speaks_words else np.zeros(len(tally.rows))
    found = {
        "recall": ratio(c("hits"), c("wanted"), draws),
        "precision": ratio(c("hits"), c("said"), draws),
        "f1": harmonic(c("hits"), c("wanted"), c("said"), draws),
        "false_per_hour": ratio(c("false"), c("hours"), draws),
        "false_per_hour_negative": ratio(c("false_negative"), c("hours_negative"), draws),
    }
    for q in QUANTILES:
        found[f"latency_p{round(q * 100)}_s"] = quantile(values, stream_of, q, draws)
    found |= {
        "early_share": ratio(c("early_events"), c("wanted"), draws),
        "reply_exact": ratio(c("exact"), exact_of, draws),
        "reply_exact_of_hits": ratio(c("exact"), c("written"), draws),
        "content": ratio(c("content"), c("written"), draws),
    }
    for name in ("wanted", "said", "hits", "false", "repeats", "misses", "failures"):
        found[name] = Estimate(float(c(name).sum()) if tally.rows else None)
    found["hours"] = Estimate(float(c("hours").sum()) if tally.rows else None)
    found["hours_negative"] = Estimate(float(c("hours_negative").sum()) if tally.rows else None)
    return found
