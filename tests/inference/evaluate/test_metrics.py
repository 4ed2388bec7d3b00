"""The systems without a model score what theory says."""

from __future__ import annotations

from math import isclose

import numpy as np
import pytest

from inference.evaluate import systems
from inference.evaluate.metrics import content_score, score
from inference.evaluate.outcome import Outcome, Truth
from inference.evaluate.triggers import Onset
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


@pytest.fixture
def truths() -> list[Truth]:
    """Events 10 s apart, so that no two meet; every third stream holds nothing to answer."""
    return [truth(f"s{i}", *(() if i % 3 == 2 else (10.05, 20.1, 30.3))) for i in range(12)]


def test_never(truths):
    m = score(truths, [systems.never(t, TIME) for t in truths], TIME)
    assert m["recall"].value == 0.0
    assert m["precision"].value is None
    assert m["f1"].value == 0.0
    assert m["false_per_hour"].value == 0.0
    assert m["latency_p50_s"].value is None
    assert m["misses"].value == 24
    assert m["reply_exact"].value == 0.0


def test_always(truths):
    m = score(truths, [systems.always(t, TIME) for t in truths], TIME)
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
    m = score(many, [systems.random(t, TIME, rate, 0) for t in many], TIME)
    # Five decisions fall into a window of 2 s that does not begin on one.
    expected = 1.0 - (1.0 - rate) ** 5
    assert m["recall"].low < expected < m["recall"].high
    said_per_hour = rate * 9000.0
    hits_per_hour = expected * 4 * 60
    assert isclose(m["false_per_hour"].value, said_per_hour - hits_per_hour, rel_tol=0.05)


def test_random_is_a_function_of_seed_and_stream(truths):
    once = [systems.random(t, TIME, 0.2, 3) for t in truths]
    assert once == [systems.random(t, TIME, 0.2, 3) for t in truths]
    assert once != [systems.random(t, TIME, 0.2, 4) for t in truths]


def test_oracle(truths):
    m = score(truths, [systems.oracle(t, TIME) for t in truths], TIME)
    for name in ("recall", "precision", "f1", "reply_exact", "content"):
        assert m[name].value == 1.0, name
    assert m["false_per_hour"].value == 0.0
    assert m["latency_p95_s"].value == 0.0


def test_oracle_too_early_is_early_and_negative(truths):
    outcomes = [systems.oracle(t, TIME, systems.EARLY_ORACLE_S) for t in truths]
    m = score(truths, outcomes, TIME)
    assert m["recall"].value == 0.0
    assert m["early_share"].value == 1.0
    assert m["latency_p50_s"].value == pytest.approx(-1.9)
    assert m["false"].value == 24


def test_oracle_too_late_depends_on_the_window(truths):
    outcomes = [systems.oracle(t, TIME, systems.LATE_ORACLE_S) for t in truths]
    assert score(truths, outcomes, TIME, late_s=2.0)["recall"].value == 0.0
    late = score(truths, outcomes, TIME, late_s=5.0)
    assert late["recall"].value == 1.0
    assert late["latency_p50_s"].value == pytest.approx(3.0)


def test_silence_timer_speaks_after_sound():
    rng = np.random.default_rng(0)
    audio = rng.normal(0, 0.002, 10 * 16_000).astype(np.float32)
    audio[3 * 16_000 : 4 * 16_000] += rng.normal(0, 0.2, 16_000).astype(np.float32)
    onsets = systems.SilenceTimer()(audio, TIME).onsets
    assert [o.at_samples for o in onsets] == [TIME.samples(4.4)]
    assert not systems.SilenceTimer()(audio[: 3 * 16_000], TIME).onsets
    assert not systems.SilenceTimer()(np.zeros(0, np.float32), TIME).onsets


def test_a_crash_stays_in_the_denominator(truths):
    outcomes = [systems.oracle(t, TIME) for t in truths]
    outcomes[0] = Outcome((), "RuntimeError: died")
    m = score(truths, outcomes, TIME)
    assert m["recall"].value == 21 / 24
    assert m["failures"].value == 1
    assert m["hours"].value == pytest.approx(12 / 60)


def test_nothing_to_measure_is_null():
    m = score([], [], TIME)
    assert all(estimate.value is None for estimate in m.values())
    silent = score([truth("quiet")], [Outcome()], TIME)
    assert silent["recall"].value is None
    assert silent["false_per_hour"].value == 0.0


def test_a_repeat_is_false():
    t = truth("one", 10.05)
    twice = Outcome((Onset(TIME.samples(10.4), "Yes."), Onset(TIME.samples(10.8), "Yes.")))
    m = score([t], [twice], TIME)
    assert (m["hits"].value, m["repeats"].value, m["false"].value) == (1, 1, 1)


def test_the_number_of_outcomes_must_fit(truths):
    with pytest.raises(ValueError, match="12 streams but 0 outcomes"):
        score(truths, [], TIME)


def test_content_takes_the_nearest_answer():
    assert content_score("light on", ("Light on.", "Done.")) == 1.0
    assert content_score("light off", ("Light on.",)) == 0.5
    assert content_score("", ("Light on.",)) == 0.0
