"""Weights met without chance, from the first few things on."""

from __future__ import annotations

from collections.abc import Mapping

_GOLDEN = 0.6180339887498949


def quota_key(weights: Mapping[str, float], number: int) -> str:
    """The key that thing ``number`` belongs to; every run of things meets the weights closely.

    Raises:
        ValueError: if no weight is positive.
    """
    positive = {name: weight for name, weight in weights.items() if weight > 0}
    if not positive:
        raise ValueError(f"no weight is positive in {dict(weights)}")
    at = (0.5 + number * _GOLDEN) % 1.0 * sum(positive.values())
    for name, weight in positive.items():
        at -= weight
        if at < 0:
            return name
    return next(reversed(positive))


def furthest_behind(weights: Mapping[str, float], counts: Mapping[str, int]) -> str:
    """The key that is furthest behind its weight among what came so far (a quota method).

    Of equal ones the smaller weight comes first, so that a rare label reaches every split.
    """
    total = sum(counts.values()) + 1
    whole = sum(weights.values())
    positive = [name for name, weight in weights.items() if weight > 0]
    if not positive:
        raise ValueError(f"no weight is positive in {dict(weights)}")
    return min(positive, key=lambda n: (counts.get(n, 0) - total * weights[n] / whole, weights[n]))
