"""Breakdown of the results: by task, and by kind of event."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from inference.evaluate.outcome import Outcome
from inference.evaluate.timing.metrics import Metrics, score
from inference.evaluate.timing.rows import is_exact
from inference.evaluate.timing.triggers import Matching, Windows, match
from inference.evaluate.timing.truth import Truth
from soundflow.protocol.timebase import TimeBase
from soundflow.protocol.turns import Event

NO_EVENT = "no event"
OTHER_WORDS = "other words"


@dataclass(frozen=True)
class TaskScore:
    """The figures of one task of one ability."""

    ability: str
    task: str
    n_streams: int
    metrics: Metrics


@dataclass(frozen=True)
class KindScore:
    """The outcomes of the events of one kind.

    Attributes:
        to_answer, to_ignore: events that deserve a reply, and that deserve none.
        exact: hits whose text is word for word one of the answers.
        early, repeats: replies that were false triggers of an event of this kind.
        strays: replies that belong to no event but began while one of this kind was the latest.
        confusions: what was said instead: the kind that the words answer, with its count, most
            frequent first; over the inexact hits and the strays.
    """

    kind: str
    to_answer: int
    to_ignore: int
    hits: int
    exact: int
    misses: int
    early: int
    repeats: int
    strays: int
    confusions: tuple[tuple[str, int], ...]


@dataclass
class _Counts:
    numbers: Counter[str] = field(default_factory=Counter)
    confusions: Counter[str] = field(default_factory=Counter)


def by_task(
    truths: Sequence[Truth], outcomes: Sequence[Outcome], time: TimeBase, late_s: float
) -> tuple[TaskScore, ...]:
    """The figures of every task on its own streams, by ability and name."""
    groups: dict[tuple[str, str], list[int]] = defaultdict(list)
    for index, truth in enumerate(truths):
        groups[truth.ability, truth.task].append(index)
    return tuple(
        TaskScore(
            ability,
            task,
            len(streams),
            score([truths[i] for i in streams], [outcomes[i] for i in streams], time, late_s),
        )
        for (ability, task), streams in sorted(groups.items())
    )


def by_kind(
    truths: Sequence[Truth], outcomes: Sequence[Outcome], windows: Windows
) -> tuple[KindScore, ...]:
    """The outcomes of the events of every kind, those with most mistakes first."""
    kind_of = _kinds_of_answers(truths)
    counts: dict[str, _Counts] = defaultdict(_Counts)
    for truth, outcome in zip(truths, outcomes, strict=True):
        matching = match(truth.events, outcome.replies, windows)
        _count(truth, outcome, matching, kind_of, counts)
    found = [_kind_score(kind, c) for kind, c in counts.items()]
    return tuple(sorted(found, key=lambda k: (-_mistakes(k), k.kind)))


def _count(
    truth: Truth,
    outcome: Outcome,
    matching: Matching,
    kind_of: Mapping[str, str],
    counts: Mapping[str, _Counts],
) -> None:
    events, onsets = truth.events, outcome.replies
    for event in events:
        counts[event.kind].numbers["to_answer" if event.must_respond else "to_ignore"] += 1
    for i, j in matching.hits:
        kind, text = counts[events[i].kind], onsets[j].text
        kind.numbers["hits"] += 1
        if text is not None and is_exact(text, events[i].answers):
            kind.numbers["exact"] += 1
        elif text is not None:
            kind.confusions[kind_of.get(text.strip(), OTHER_WORDS)] += 1
    for i in matching.misses:
        counts[events[i].kind].numbers["misses"] += 1
    for i, _ in matching.early:
        counts[events[i].kind].numbers["early"] += 1
    for i, _ in matching.repeats:
        counts[events[i].kind].numbers["repeats"] += 1
    for j in matching.strays:
        latest = _latest(events, onsets[j].at_samples)
        kind = counts[latest.kind if latest else NO_EVENT]
        kind.numbers["strays"] += 1
        if onsets[j].text is not None:
            kind.confusions[kind_of.get((onsets[j].text or "").strip(), OTHER_WORDS)] += 1


def _kinds_of_answers(truths: Sequence[Truth]) -> dict[str, str]:
    """Answer -> the kind of event it answers; answers of several kinds are left out."""
    kinds: dict[str, set[str]] = defaultdict(set)
    for truth in truths:
        for event in truth.events:
            for answer in event.answers:
                kinds[answer.strip()].add(event.kind)
    return {answer: found.pop() for answer, found in kinds.items() if len(found) == 1}


def _latest(events: Sequence[Event], at_samples: int) -> Event | None:
    """The event that began last before ``at_samples``."""
    begun = [e for e in events if e.on_samples <= at_samples]
    return max(begun, key=lambda e: e.on_samples, default=None)


def _kind_score(kind: str, counts: _Counts) -> KindScore:
    n = counts.numbers
    return KindScore(
        kind=kind,
        to_answer=n["to_answer"],
        to_ignore=n["to_ignore"],
        hits=n["hits"],
        exact=n["exact"],
        misses=n["misses"],
        early=n["early"],
        repeats=n["repeats"],
        strays=n["strays"],
        confusions=tuple(counts.confusions.most_common()),
    )


def _mistakes(kind: KindScore) -> int:
    return kind.misses + kind.early + kind.repeats + kind.strays + kind.hits - kind.exact
