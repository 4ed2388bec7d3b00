"""Figures by task and by kind of event, worked out by hand."""

from __future__ import annotations

from inference.evaluate.outcome import Failure, Outcome, TimedReply
from inference.evaluate.timing.breakdown import KindScore, by_kind, by_task
from inference.evaluate.timing.rows import windows_of
from inference.evaluate.timing.truth import Truth
from soundflow.protocol.timebase import TimeBase
from soundflow.protocol.turns import Event

TIME = TimeBase()
S = TIME.sample_rate_hz


def event(kind: str, at_s: int, answer: str = "") -> Event:
    answers = (answer,) if answer else ()
    return Event(kind, at_s * S, (at_s + 1) * S, (at_s + 1) * S, bool(answer), answers)


TRUTHS = [
    Truth("a", 30 * S, (event("dog", 1, "A dog."), event("bell", 10, "A bell.")), "x/hear", "name"),
    Truth("b", 30 * S, (event("rain", 1),), "x/hear", "ignore"),
]
OUTCOMES = [
    # The dog is called a bell; the bell is answered early and then right.
    Outcome(
        (TimedReply(3 * S, "A bell."), TimedReply(10 * S, "A bell."), TimedReply(12 * S, "A bell."))
    ),
    Outcome(
        (TimedReply(2 * S, "A dog."), TimedReply(20 * S, "Hello.")),
        Failure("crash", "RuntimeError: x"),
    ),
]


def test_what_became_of_each_kind():
    found = by_kind(TRUTHS, OUTCOMES, windows_of(TIME, 2.0))
    assert found == (
        KindScore("rain", 0, 1, 0, 0, 0, 0, 0, 2, (("dog", 1), ("other words", 1))),
        KindScore("bell", 1, 0, 1, 1, 0, 1, 0, 0, ()),
        KindScore("dog", 1, 0, 1, 0, 0, 0, 0, 0, (("bell", 1),)),
    )


def test_a_reply_before_any_event_stands_at_none():
    truth = Truth("c", 30 * S, (event("dog", 20, "A dog."),))
    (dog, none) = by_kind([truth], [Outcome((TimedReply(S, "Well."),))], windows_of(TIME, 2.0))
    assert (none.kind, none.strays) == ("no event", 1)
    assert (dog.kind, dog.misses, dog.strays) == ("dog", 1, 0)


def test_tasks_have_their_own_figures():
    ignore, name = by_task(TRUTHS, OUTCOMES, TIME, 2.0)
    assert (ignore.task, ignore.n_streams, name.task, name.ability) == (
        "ignore",
        1,
        "name",
        "x/hear",
    )
    assert name.metrics["recall"].value == 1.0
    assert ignore.metrics["recall"].value is None
    assert ignore.metrics["false"].value == 2
    assert ignore.metrics["failures"].value == 1
