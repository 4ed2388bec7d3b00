"""Shares are met in every run of things, and seeds depend on content alone."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_build.quota import furthest_behind, quota_key
from data_build.randomness import digest, generator


def test_tasks_meet_their_shares_from_the_first_streams_on() -> None:
    shares = {"a": 0.55, "b": 0.2, "c": 0.25, "never": 0.0}
    for n in (20, 160, 1_000):
        counts = Counter(quota_key(shares, i) for i in range(n))
        for name, share in shares.items():
            assert abs(counts[name] - share * n) <= 2 + 0.01 * n


@given(st.integers(4, 200))
def test_rare_things_reach_every_split(n: int) -> None:
    shares = {"train": 0.75, "test": 0.25}
    counts: Counter[str] = Counter()
    for _ in range(n):
        counts[furthest_behind(shares, counts)] += 1
    assert counts["test"] >= 1
    assert abs(counts["train"] - 0.75 * n) <= 1


def test_no_positive_share_is_refused() -> None:
    with pytest.raises(ValueError):
        quota_key({"a": 0.0}, 3)
    with pytest.raises(ValueError):
        furthest_behind({"a": 0.0}, {})


def test_seeds_tell_parts_and_types_apart() -> None:
    assert digest("a", "bc") != digest("ab", "c")
    assert digest(1) != digest("1")
    assert generator(1, "x").random() == generator(1, "x").random() != generator(1, "y").random()
