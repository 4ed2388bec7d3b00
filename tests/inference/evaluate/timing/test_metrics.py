"""The systems without a model score what theory says."""

from __future__ import annotations

from math import isclose

import numpy as np
import pytest

from inference.evaluate.outcome import Failure, Outcome, TimedReply
from inference.evaluate.systems import baselines
from inference.evaluate.systems.baselines import SilenceTimer
from inference.evaluate.task import Item, System
from inference.evaluate.timing.baselines import oracles
from inference.evaluate.timing.metrics import score
from inference.evaluate.timing.rows import content_score
from inference.evaluate.timing.truth import Truth
from soundflow.protocol.timebase import TimeBase
from soundflow.protocol.turns import Event

TIME = TimeBase()
HOUR = 3600 * 16_000


def truth(name: str, *readies_s: float, seconds: float = 60.0) -> Truth:
    events = tuple(
        Event("cue", TIME.samples(r - 1.0), TIME.samples(r), TIME.samples(r + 0.1), True, ("Yes.",))
        for r in readies_s
    )
    return Truth(name, TIME.samples(seconds), events)


def unopened():
    raise AssertionError("this system hears nothing")


def run(system: System[Truth], truths: list[Truth]) -> list[Outcome]:
    """The outcomes of a system that needs no audio, in order."""
    found = dict(system.run([Item(t.id, t.n_samples, unopened, t) for t in truths]))
    return [found[t.id] for t in truths]


ORACLE, EARLY, LATE = oracles(TIME)


@pytest.fixture
def truths() -> list[Truth]:
    """Events 10 s apart, so that no two meet; every third stream holds nothing to answer."""
    return [truth(f"s{i}", *(() if i % 3 == 2 else (10.05, 20.1, 30.3))) for i in range(12)]


def test_never(truths):
    m = score(truths, run(baselines.never(), truths), TIME)
    assert m["recall"].value == 0.0
    assert m["precision"].value is None
    assert m["f1"].value == 0.0
    assert m["false_per_hour"].value == 0.0
    # None seen in 0.2 h: fewer than 3.7 / 0.2 an hour, and not none.
    assert m["false_per_hour"].high == pytest.approx(3.689 / 0.2, rel=1e-3)
    assert m["latency_p50_s"].value is None
    assert m["misses"].value == 24
    assert m["reply_exact"].value == 0.0


def test_always(truths):
    m = score(truths, run(baselines.always(TIME), truths), TIME)
    chunks = 12 * 150
    assert m["recall"].value == 1.0
    assert m["precision"].value == 24 / chunks
    assert m["false_per_hour"].value == pytest.approx((chunks - 24) / (12 / 60))
    assert m["false_per_hour_negative"].value == pytest.approx(9000.0)
    assert m["early_share"].value == 1.0
    assert 0.0 <= m["latency_p50_s"].value <= 0.4


def test_random_is_at_chance():
    many = [truth(f"r{i}", 10.05, 20.1, 30.3, 40.2) for i in range(400)]
    rate = 0.1
    m = score(many, run(baselines.random(TIME, rate, 0), many), TIME)
    # Five decisions fall into a window of 2 s that does not begin on one.
    expected = 1.0 - (1.0 - rate) ** 5
    assert m["recall"].low < expected < m["recall"].high
    said_per_hour = rate * 9000.0
    hits_per_hour = expected * 4 * 60
    assert isclose(m["false_per_hour"].value, said_per_hour - hits_per_hour, rel_tol=0.05)


def test_random_is_a_function_of_seed_and_stream(truths):
    once = run(baselines.random(TIME, 0.2, 3), truths)
    assert once == run(baselines.random(TIME, 0.2, 3), truths)
    assert once != run(baselines.random(TIME, 0.2, 4), truths)


def test_oracle(truths):
    m = score(truths, run(ORACLE, truths), TIME)
    for name in ("recall", "precision", "f1", "reply_exact", "content"):
        assert m[name].value == 1.0, name
    assert m["false_per_hour"].value == 0.0
    assert m["latency_p95_s"].value == 0.0


def test_oracle_too_early_is_early_and_negative(truths):
    outcomes = run(EARLY, truths)
    m = score(truths, outcomes, TIME)
    assert m["recall"].value == 0.0
    assert m["early_share"].value == 1.0
    assert m["latency_p50_s"].value == pytest.approx(-1.9)
    assert m["false"].value == 24


def test_oracle_too_late_depends_on_the_window(truths):
    outcomes = run(LATE, truths)
    assert score(truths, outcomes, TIME, late_s=2.0)["recall"].value == 0.0
    late = score(truths, outcomes, TIME, late_s=5.0)
    assert late["recall"].value == 1.0
    assert late["latency_p50_s"].value == pytest.approx(3.0)


def test_silence_timer_speaks_after_sound():
    rng = np.random.default_rng(0)
    audio = rng.normal(0, 0.002, 10 * 16_000).astype(np.float32)
    audio[3 * 16_000 : 4 * 16_000] += rng.normal(0, 0.2, 16_000).astype(np.float32)
    onsets = SilenceTimer(TIME)(audio).replies
    assert [r.at_samples for r in onsets] == [TIME.samples(4.4)]
    assert not SilenceTimer(TIME)(audio[: 3 * 16_000]).replies
    assert not SilenceTimer(TIME)(np.zeros(0, np.float32)).replies


def test_a_crash_stays_in_the_denominator(truths):
    outcomes = run(ORACLE, truths)
    outcomes[0] = Outcome((), Failure("crash", "RuntimeError: died"))
    m = score(truths, outcomes, TIME)
    assert m["recall"].value == 21 / 24
    assert m["failures"].value == 1
    assert m["hours"].value == pytest.approx(12 / 60)


def test_silence_of_a_stream_that_failed_was_not_heard(truths):
    failed = Outcome((), Failure("unreadable audio", "gone"))
    outcomes = [failed if t.is_negative else Outcome() for t in truths]
    m = score(truths, outcomes, TIME)
    assert m["false_per_hour_negative"].value is None, "not 0 in 4 minutes"
    assert m["hours_negative"].value == 0.0
    assert (m["false_per_hour"].value, m["false_per_hour"].n) == (0.0, pytest.approx(8 / 60))
    assert score(truths, [failed] * 12, TIME)["false_per_hour"].value is None


def test_all_of_a_few_is_not_always(truths):
    m = score(truths, run(ORACLE, truths), TIME)
    for name in ("recall", "precision", "f1", "reply_exact"):
        assert (m[name].low, m[name].high) == (pytest.approx(0.862, abs=1e-3), 1.0), name


def test_nothing_to_measure_is_null():
    m = score([], [], TIME)
    assert all(estimate.value is None for estimate in m.values())
    silent = score([truth("quiet")], [Outcome()], TIME)
    assert silent["recall"].value is None
    assert silent["false_per_hour"].value == 0.0


def test_a_repeat_is_false():
    t = truth("one", 10.05)
    twice = Outcome(
        (TimedReply(TIME.samples(10.4), "Yes."), TimedReply(TIME.samples(10.8), "Yes."))
    )
    m = score([t], [twice], TIME)
    assert (m["hits"].value, m["repeats"].value, m["false"].value) == (1, 1, 1)


def test_the_number_of_outcomes_must_fit(truths):
    with pytest.raises(ValueError, match="12 streams but 0 outcomes"):
        score(truths, [], TIME)


def test_content_takes_the_nearest_answer():
    assert content_score("light on", ("Light on.", "Done.")) == 1.0
    assert content_score("light off", ("Light on.",)) == 0.5
    assert content_score("", ("Light on.",)) == 0.0
