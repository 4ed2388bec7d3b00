"""Exact intervals, against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest, poisson

from inference.evaluate.statistics.counts import poisson_rate, share, wilson
from inference.evaluate.statistics.figures import Draws


@pytest.mark.parametrize("count", [0, 1, 4, 30])
def test_poisson_bounds_are_those_rates_at_which_the_count_is_just_plausible(count):
    found = poisson_rate(count, 2.0)
    assert found.value == count / 2.0
    assert poisson.cdf(count, 2.0 * found.high) == pytest.approx(0.025)
    if count:
        assert poisson.sf(count - 1, 2.0 * found.low) == pytest.approx(0.025)
    else:
        assert found.low == 0.0


@pytest.mark.parametrize(("right", "n"), [(0, 5), (5, 5), (3, 7), (377, 644)])
def test_wilson_is_that_of_scipy(right, n):
    expected = binomtest(right, n).proportion_ci(method="wilson")
    found = wilson(right, n)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.n == n


def test_a_share_is_as_uncertain_as_its_count_and_its_items_make_it():
    draws = Draws.of(20)
    sure = share(np.full(20, 3.0), np.full(20, 3.0), draws)
    assert (sure.low, sure.high) == (wilson(60, 60).low, 1.0)
    apart = share([3.0, 0.0] * 10, np.full(20, 3.0), draws)
    assert apart.low < wilson(30, 60).low < wilson(30, 60).high < apart.high
    once = share([1.0] * 5 + [0.0] * 15, np.ones(20), draws)
    assert (once.low, once.high) == (wilson(5, 20).low, wilson(5, 20).high)
    assert once.resampled is not None, "for differences"


def test_nothing_counted_is_null():
    assert wilson(0, 0).value is None
    assert poisson_rate(0, 0.0).value is None
