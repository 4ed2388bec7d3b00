"""Figures with their intervals, bootstrapped over items and not over events (timing protocol 1.4).

Resampling is a function of (number of items, seed) alone. So two systems that were scored on the
same items were resampled alike, and the interval of their difference is that of the differences of
`Figure.resampled`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
COVERAGE = 0.95
RESAMPLES = 1000


@dataclass(frozen=True)
class Figure:
    """A measured value. None where there is nothing to measure.

    Attributes:
        n: what it is over: events, replies, items, hours; the denominator of a ratio.
        low, high: its 95 % interval, where it has one.
        signature: what another implementation would have to do the same to be comparable.
        resampled: the value in each resample, NaN where it has none; for paired differences.
    """

    value: float | None
    n: float = 0.0
    low: float | None = None
    high: float | None = None
    signature: str = ""
    resampled: Array | None = field(default=None, compare=False, repr=False)

    def to_json(self) -> dict[str, Any]:
        return {k: getattr(self, k) for k in ("value", "n", "low", "high", "signature")}

    def signed(self, signature: str) -> Figure:
        return replace(self, signature=signature)


@dataclass(frozen=True)
class Draws:
    """How often each item is drawn in each resample, (n_resamples, n_items)."""

    counts: Array

    @staticmethod
    @lru_cache(maxsize=4)  # all systems, thresholds and windows draw from the same items
    def of(n_items: int, seed: int = 0, n_resamples: int = RESAMPLES) -> Draws:
        if n_items == 0:
            return Draws(np.zeros((n_resamples, 0)))
        rng = np.random.Generator(np.random.PCG64(seed))
        even = np.full(n_items, 1.0 / n_items)
        return Draws(rng.multinomial(n_items, even, size=n_resamples).astype(np.float64))

    def sums(self, column: npt.ArrayLike) -> Array:
        """Column (n_items,) -> its sum in each resample, (n_resamples,)."""
        return self.counts @ np.asarray(column, np.float64)


def ratio(numerator: npt.ArrayLike, denominator: npt.ArrayLike, draws: Draws) -> Figure:
    """sum(numerator) / sum(denominator) over items, each (n_items,)."""
    return statistic([numerator, denominator], lambda top, bottom: top / bottom, draws)


def statistic(columns: Sequence[npt.ArrayLike], of: Callable[..., Array], draws: Draws) -> Figure:
    """Any function of summed columns.

    Args:
        columns: each (n_items,); the sum of the last one is the figure's ``n``.
        of: the sums of the columns, arrays of one shape -> values of that shape; NaN or infinity
            where the figure does not exist.
    """
    whole = [np.asarray(c, np.float64).sum(keepdims=True) for c in columns]
    with np.errstate(divide="ignore", invalid="ignore"):
        (value,) = of(*whole)
        resampled = np.asarray(of(*(draws.sums(c) for c in columns)), np.float64)
    n = float(whole[-1][0])
    return with_interval(float(value) if np.isfinite(value) else None, n, resampled)


def mean(values: npt.ArrayLike, draws: Draws) -> Figure:
    """The mean over items."""
    return ratio(values, np.ones(np.shape(values)), draws)


def quantiles(
    values: Array, item_of: npt.NDArray[np.int64], shares: Sequence[float], draws: Draws
) -> list[Figure]:
    """Quantiles of values that belong to items: resampling an item takes all of its values.

    Args:
        values: (n,); ``item_of`` (n,) gives the item of each.
        shares: which quantiles, each in (0, 1).
    """
    if values.size == 0:
        return [Figure(None) for _ in shares]
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    mass = np.cumsum(draws.counts[:, item_of[order]], axis=1)
    # Inverse of the empirical distribution: the first value that reaches the share.
    found = []
    for q in shares:
        reached = mass >= np.ceil(q * mass[:, -1:]).clip(min=1.0)
        resampled = np.where(mass[:, -1] > 0, ordered[reached.argmax(axis=1)], np.nan)
        at = int(np.ceil(q * len(ordered)).clip(min=1.0)) - 1
        found.append(with_interval(float(ordered[at]), float(len(ordered)), resampled))
    return found


def count(column: npt.ArrayLike) -> Figure:
    """A plain number of something; null without items."""
    column = np.asarray(column, np.float64)
    return Figure(float(column.sum()) if column.size else None, float(column.size))


def with_interval(value: float | None, n: float, resampled: Array) -> Figure:
    """The percentile interval of the resamples in which the figure exists."""
    there = resampled[np.isfinite(resampled)]
    if value is None:
        return Figure(None, n)
    if there.size < 2:
        return Figure(value, n)
    tail = (1.0 - COVERAGE) / 2.0
    low, high = np.quantile(there, [tail, 1.0 - tail])
    return Figure(value, n, float(low), float(high), resampled=resampled)
