"""Intervals of counts: events an hour (Poisson) and k of n (Wilson).

`rate` and `share` are the same over items that are resampled whole, such as streams. The bootstrap
sees that errors come in clusters within an item, but takes none seen for none there is; the exact
interval does the reverse. Each bound is that of the wider one.
"""

from __future__ import annotations

import math
from dataclasses import replace
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from inference.evaluate.statistics.figures import COVERAGE, Draws, Figure, ratio

# -ln(0.05): so many events must be expected for none to be seen once in twenty times.
RULE_OF_THREE = -math.log(1.0 - COVERAGE)


def poisson_rate(count: float, hours: float) -> Figure:
    """Events an hour with the exact interval of the count (Garwood 1936).

    Zero seen is not zero: the upper bound is 3.7 / hours then (two-sided; the one-sided rule of
    three, 3 / hours, is `hours_needed`).
    """
    from scipy.special import gammaincinv  # half a chi-squared quantile

    if hours <= 0:
        return Figure(None)
    tail = (1.0 - COVERAGE) / 2.0
    low = float(gammaincinv(count, tail)) if count else 0.0
    high = float(gammaincinv(count + 1, 1.0 - tail))
    return Figure(count / hours, hours, low / hours, high / hours)


def hours_needed(per_hour: float) -> float:
    """How long one must listen without an event to say "at most so many an hour" at 95 %."""
    return RULE_OF_THREE / per_hour


def wilson(right: float, n: float) -> Figure:
    """A share with the score interval of Wilson (1927); sane for 0, n and small n."""
    if n <= 0:
        return Figure(None)
    z = NormalDist().inv_cdf(0.5 + COVERAGE / 2.0)
    share = right / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    # At its ends the bound is exact; rounding must not push it beyond.
    low, high = (0.0 if right == 0 else middle - half), (1.0 if right == n else middle + half)
    return Figure(share, n, low, high)


def rate(counts: npt.ArrayLike, hours: npt.ArrayLike, draws: Draws) -> Figure:
    """Events an hour over items, each (n_items,)."""
    resampled = ratio(counts, hours, draws)
    return _wider(resampled, poisson_rate(float(np.sum(counts)), float(np.sum(hours))))


def share(hits: npt.ArrayLike, of: npt.ArrayLike, draws: Draws) -> Figure:
    """sum(hits) / sum(of) over items, each (n_items,); ``hits`` are among ``of``.

    Where no item counts more than once, the interval is Wilson's alone.
    """
    resampled = ratio(hits, of, draws)
    exact = wilson(float(np.sum(hits)), float(np.sum(of)))
    if np.max(of, initial=0.0) <= 1.0:
        return replace(exact, resampled=resampled.resampled)
    return _wider(resampled, exact)


def item_share(right: npt.ArrayLike) -> Figure:
    """The share of items, which count once each, for which ``right`` (n_items,) holds."""
    hits = np.asarray(right, np.float64)
    return share(hits, np.ones(len(hits)), Draws.of(len(hits)))


def _wider(resampled: Figure, exact: Figure) -> Figure:
    """The exact figure, each bound the farther of both."""
    if resampled.low is None or resampled.high is None or exact.low is None or exact.high is None:
        return replace(exact, resampled=resampled.resampled)
    low, high = min(resampled.low, exact.low), max(resampled.high, exact.high)
    return replace(resampled, low=low, high=high)
