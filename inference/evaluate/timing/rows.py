"""One row of counts for every stream; all figures of timing are sums and quantiles of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from inference.evaluate.outcome import Outcome, TimedReply
from inference.evaluate.timing.triggers import Matching, Windows, match
from inference.evaluate.timing.truth import Truth
from soundflow.protocol.timebase import TimeBase
from soundflow.protocol.turns import Event
from soundflow.text.wer import count_errors

EARLY_S = 2.0


@dataclass(frozen=True)
class TimingRow:
    """What became of one stream.

    Attributes:
        wanted, said: events to answer, and replies.
        false: early + repeated + stray replies.
        early_events: events to answer that got an early reply.
        answered: for each event to answer, in the order of `Truth.wanted`, whether it got a hit.
        latency_s: signed: onset - ready of every hit, and of the early reply to an event without.
        written: hits whose text and right answers are known; of these ``exact`` are word for word
            one of the answers, ``content`` is the sum of their `content_score`.
        failed: whether it crashed, timed out and so on.
    """

    hours: float
    negative: bool
    wanted: int
    said: int
    hits: int
    false: int
    early_events: int
    repeats: int
    misses: int
    answered: tuple[bool, ...]
    latency_s: tuple[float, ...]
    written: int
    exact: int
    content: float
    failed: bool

    @property
    def heard_hours(self) -> float:
        """How long a false trigger would have shown; nobody knows how far a failure got."""
        return 0.0 if self.failed else self.hours


def windows_of(time: TimeBase, late_s: float) -> Windows:
    """How late a reply may come, with the protocol's bound on how early."""
    return Windows(time.samples(late_s), time.samples(EARLY_S))


def rows_of(
    truths: Sequence[Truth], outcomes: Sequence[Outcome], time: TimeBase, late_s: float
) -> list[TimingRow]:
    """One row for every stream.

    Raises:
        ValueError: if there is not one outcome for every stream.
    """
    if len(truths) != len(outcomes):
        raise ValueError(f"{len(truths)} streams but {len(outcomes)} outcomes")
    windows = windows_of(time, late_s)
    return [row_of(t, o, time, windows) for t, o in zip(truths, outcomes, strict=True)]


def row_of(truth: Truth, outcome: Outcome, time: TimeBase, windows: Windows) -> TimingRow:
    matching = match(truth.events, outcome.replies, windows)
    pairs = [(truth.events[i], outcome.replies[j]) for i, j in matching.hits]
    written = [(e, r.text) for e, r in pairs if r.text is not None and any(e.answers)]
    hit = {i for i, _ in matching.hits}
    return TimingRow(
        hours=time.seconds(truth.n_samples) / 3600.0,
        negative=truth.is_negative,
        wanted=len(matching.hits) + len(matching.misses),
        said=len(outcome.replies),
        hits=len(matching.hits),
        false=matching.n_false,
        early_events=len({i for i, _ in matching.early}),
        repeats=len(matching.repeats),
        misses=len(matching.misses),
        answered=tuple(i in hit for i in truth.wanted),
        latency_s=tuple(
            time.seconds(n) for n in _latencies(truth.events, outcome.replies, matching)
        ),
        written=len(written),
        exact=sum(is_exact(text, e.answers) for e, text in written),
        content=sum(content_score(text, e.answers) for e, text in written),
        failed=outcome.failure is not None,
    )


def _latencies(
    events: Sequence[Event], replies: Sequence[TimedReply], matching: Matching
) -> list[int]:
    replied = dict(matching.hits)
    for i, j in matching.early:
        replied.setdefault(i, j)
    return [replies[j].at_samples - events[i].ready_samples for i, j in replied.items()]


def is_exact(text: str, answers: Sequence[str]) -> bool:
    return text.strip() in {a.strip() for a in answers}


@lru_cache(maxsize=65536)  # the same replies are scored at every threshold
def content_score(text: str, answers: tuple[str, ...]) -> float:
    """1 - word error rate, at least 0, against the nearest answer."""
    rates = [count_errors(a, text).rate for a in answers]
    return max((max(0.0, 1.0 - r) for r in rates if r is not None), default=0.0)
