"""Which reply belongs to which event (timing protocol, section 1.3).

::

    event            [on ......... ready]
    onsets      x            e          |  m      r        x
                stray        early      |  match  repeat   stray
                             before     [ready, ready + W]

All times are samples from the start of the stream.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from inference.evaluate.outcome import TimedReply
from soundflow.protocol.turns import Event


@dataclass(frozen=True)
class Windows:
    """How late a reply may come, and how far before ``ready`` it still counts as early.

    An onset is early if it is between the event's start (or ``early_samples`` before
    ``ready``, whichever is first) and ``ready``; an onset before that does not belong to the event.
    """

    late_samples: int
    early_samples: int


@dataclass(frozen=True)
class Matching:
    """The verdict on every event and every onset (the first token of a reply).

    Pairs are (event index, onset index). Each onset is in exactly one of ``hits``, ``early``,
    ``repeats`` and ``strays``. The last three together are the false triggers. ``misses`` are the
    events to be answered that got no hit.
    """

    hits: tuple[tuple[int, int], ...]
    early: tuple[tuple[int, int], ...]
    repeats: tuple[tuple[int, int], ...]
    strays: tuple[int, ...]
    misses: tuple[int, ...]

    @property
    def n_false(self) -> int:
        return len(self.early) + len(self.repeats) + len(self.strays)


def match(events: Sequence[Event], onsets: Sequence[TimedReply], windows: Windows) -> Matching:
    """One-to-one: events in the order of ``ready`` each take the earliest free onset in reach.

    Events that deserve no reply take part in nothing; a reply to one is a stray.
    """
    wanted = sorted(
        (i for i, e in enumerate(events) if e.must_respond), key=lambda i: events[i].ready_samples
    )
    order = sorted(range(len(onsets)), key=lambda j: onsets[j].at_samples)
    hits = _hits(events, onsets, wanted, order, windows.late_samples)
    answered = dict(hits)
    taken = set(answered.values())
    early: list[tuple[int, int]] = []
    repeats: list[tuple[int, int]] = []
    strays: list[int] = []
    for j in order:
        if j in taken:
            continue
        at = onsets[j].at_samples
        again = next((i for i in answered if _in_reach(events[i], at, windows.late_samples)), None)
        ahead = next((i for i in wanted if _is_early(events[i], at, windows.early_samples)), None)
        if again is not None:
            repeats.append((again, j))
        elif ahead is not None:
            early.append((ahead, j))
        else:
            strays.append(j)
    misses = tuple(i for i in wanted if i not in answered)
    return Matching(tuple(hits), tuple(early), tuple(repeats), tuple(strays), misses)


def _hits(
    events: Sequence[Event],
    onsets: Sequence[TimedReply],
    wanted: Sequence[int],
    order: Sequence[int],
    late_samples: int,
) -> list[tuple[int, int]]:
    # Windows have one length and come in order, so an onset that one event leaves behind is out
    # of reach for all later ones: a single pass is enough.
    hits: list[tuple[int, int]] = []
    at = 0
    for i in wanted:
        while at < len(order) and onsets[order[at]].at_samples < events[i].ready_samples:
            at += 1
        if at < len(order) and _in_reach(events[i], onsets[order[at]].at_samples, late_samples):
            hits.append((i, order[at]))
            at += 1
    return hits


def _in_reach(event: Event, at: int, late_samples: int) -> bool:
    return event.ready_samples <= at <= event.ready_samples + late_samples


def _is_early(event: Event, at: int, early_samples: int) -> bool:
    first = min(event.on_samples, event.ready_samples - early_samples)
    return first <= at < event.ready_samples
