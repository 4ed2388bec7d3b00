"""Shares met without chance, from the first few things on."""

from __future__ import annotations

from collections.abc import Mapping

_GOLDEN = 0.6180339887498949


def quota_key(shares: Mapping[str, float], number: int) -> str:
    """The key that thing ``number`` belongs to; every run of things meets the shares closely.

    Raises:
        ValueError: if no share is positive.
    """
    positive = {name: share for name, share in shares.items() if share > 0}
    if not positive:
        raise ValueError(f"no share is positive in {dict(shares)}")
    at = (0.5 + number * _GOLDEN) % 1.0 * sum(positive.values())
    for name, share in positive.items():
        at -= share
        if at < 0:
            return name
    return next(reversed(positive))


def furthest_behind(shares: Mapping[str, float], counts: Mapping[str, int]) -> str:
    """The key that is furthest behind its share of what was dealt so far (a quota method).

    Of equal ones the smaller share comes first, so that a rare label reaches every split.
    """
    total = sum(counts.values()) + 1
    whole = sum(shares.values())
    positive = [name for name, share in shares.items() if share > 0]
    if not positive:
        raise ValueError(f"no share is positive in {dict(shares)}")
    return min(positive, key=lambda n: (counts.get(n, 0) - total * shares[n] / whole, shares[n]))
