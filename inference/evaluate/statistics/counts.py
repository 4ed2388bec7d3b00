"""Exact intervals of counts: events an hour (Poisson) and k of n (Wilson)."""

from __future__ import annotations

import math

from scipy.stats import chi2, norm

from inference.evaluate.statistics.figures import COVERAGE, Figure

# -ln(0.05): so many events must be expected for none to be seen once in twenty times.
RULE_OF_THREE = -math.log(1.0 - COVERAGE)


def poisson_rate(count: float, hours: float) -> Figure:
    """Events an hour with the exact interval of the count (Garwood 1936).

    Zero seen is not zero: the upper bound is 3.7 / hours then (two-sided; the one-sided rule of
    three, 3 / hours, is `hours_needed`).
    """
    if hours <= 0:
        return Figure(None)
    tail = (1.0 - COVERAGE) / 2.0
    low = float(chi2.ppf(tail, 2 * count)) / 2.0 if count else 0.0
    high = float(chi2.ppf(1.0 - tail, 2 * (count + 1))) / 2.0
    return Figure(count / hours, hours, low / hours, high / hours)


def hours_needed(per_hour: float) -> float:
    """How long one must listen without an event to say "at most so many an hour" at 95 %."""
    return RULE_OF_THREE / per_hour


def wilson(right: float, n: float) -> Figure:
    """A share with the score interval of Wilson (1927); sane for 0, n and small n."""
    if n <= 0:
        return Figure(None)
    z = float(norm.ppf(0.5 + COVERAGE / 2.0))
    share = right / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    # At its ends the bound is exact; rounding must not push it beyond.
    low, high = (0.0 if right == 0 else middle - half), (1.0 if right == n else middle + half)
    return Figure(share, n, low, high)
