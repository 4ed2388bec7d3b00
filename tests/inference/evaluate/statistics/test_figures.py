"""Intervals resample streams, not events."""

from __future__ import annotations

import numpy as np
import pytest

from inference.evaluate.statistics.figures import Draws, quantiles, ratio


def test_intervals_cover_as_often_as_they_say():
    rng = np.random.default_rng(0)
    covered = 0
    for trial in range(200):
        wanted = np.full(60, 4.0)
        skill = rng.beta(7, 3, 60)  # streams differ; events in a stream do not
        hits = rng.binomial(4, skill).astype(float)
        found = ratio(hits, wanted, Draws.of(60, trial, 400))
        covered += found.low <= 0.7 <= found.high
    assert 0.88 <= covered / 200 <= 0.99


def test_streams_that_agree_in_themselves_give_wider_intervals():
    together = ratio(np.array([4.0, 0.0] * 20), np.full(40, 4.0), Draws.of(40, 0))
    apart = ratio(np.full(40, 2.0), np.full(40, 4.0), Draws.of(40, 0))
    assert together.value == apart.value == 0.5
    assert together.high - together.low > 0.2
    assert apart.high == apart.low == 0.5


def test_quantile_is_a_value_that_was_seen():
    values = np.array([3.0, 1.0, 2.0, 10.0])
    found, high = quantiles(values, np.arange(4), (0.5, 0.95), Draws.of(4, 0))
    assert found.value == 2.0
    assert {found.low, found.high} <= set(values.tolist())
    assert high.value == 10.0


def test_quantile_of_repeated_draws_equals_brute_force():
    rng = np.random.default_rng(1)
    values, stream_of = rng.normal(size=30), rng.integers(0, 8, 30)
    draws = Draws.of(8, 0, 50)
    by_hand = []
    for row in draws.counts:
        pool = np.repeat(values, row[stream_of].astype(int))
        if pool.size:
            by_hand.append(np.sort(pool)[int(np.ceil(0.9 * pool.size)) - 1])
    (found,) = quantiles(values, stream_of, (0.9,), draws)
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(by_hand, [0.025, 0.975])))


def test_empty_is_null():
    assert ratio(np.zeros(3), np.zeros(3), Draws.of(3, 0)).value is None
    (empty,) = quantiles(np.zeros(0), np.zeros(0, int), (0.5,), Draws.of(0, 0))
    assert empty.value is None
