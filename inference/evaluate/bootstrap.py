"""Bootstrap intervals that resample streams, not events (timing protocol 1.4)."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
COVERAGE = 0.95
RESAMPLES = 1000


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % interval; None where there is nothing to measure."""

    value: float | None
    low: float | None = None
    high: float | None = None

    def to_json(self) -> dict[str, float | None]:
        return asdict(self)


def resample_counts(n_streams: int, seed: int, n_resamples: int = RESAMPLES) -> Array:
    """How often each stream is drawn in each resample, (n_resamples, n_streams)."""
    if n_streams == 0:
        return np.zeros((n_resamples, 0))
    rng = np.random.Generator(np.random.PCG64(seed))
    even = np.full(n_streams, 1.0 / n_streams)
    return rng.multinomial(n_streams, even, size=n_resamples).astype(np.float64)


def ratio(numerator: Array, denominator: Array, draws: Array) -> Estimate:
    """sum(numerator) / sum(denominator) over streams, each (n_streams,)."""
    whole = numerator.sum(), denominator.sum()
    if whole[1] == 0:
        return Estimate(None)
    top, bottom = draws @ numerator, draws @ denominator
    return _with_interval(whole[0] / whole[1], top[bottom > 0] / bottom[bottom > 0])


def harmonic(hits: Array, wanted: Array, said: Array, draws: Array) -> Estimate:
    """F1 = 2 hits / (wanted + said)."""
    return ratio(2.0 * hits, wanted + said, draws)


def quantile(values: Array, stream_of: npt.NDArray[np.int64], q: float, draws: Array) -> Estimate:
    """A quantile of values that belong to streams: resampling a stream takes all of its values.

    Args:
        values: (n,); ``stream_of`` (n,) gives the stream of each.
    """
    if values.size == 0:
        return Estimate(None)
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    mass = np.cumsum(draws[:, stream_of[order]], axis=1)
    drawn = mass[mass[:, -1] > 0]
    # Inverse of the empirical distribution: the first value that reaches the share q.
    reached = drawn >= np.ceil(q * drawn[:, -1:]).clip(min=1.0)
    at = int(np.ceil(q * len(ordered)).clip(min=1.0)) - 1
    return _with_interval(float(ordered[at]), ordered[reached.argmax(axis=1)])


def _with_interval(value: float, resampled: Array) -> Estimate:
    if resampled.size < 2:
        return Estimate(float(value))
    tail = (1.0 - COVERAGE) / 2.0
    low, high = np.quantile(resampled, [tail, 1.0 - tail])
    return Estimate(float(value), float(low), float(high))
