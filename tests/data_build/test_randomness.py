"""Seeds depend on content alone."""

from __future__ import annotations

from data_build.randomness import digest, generator


def test_seeds_tell_parts_and_types_apart() -> None:
    assert digest("a", "bc") != digest("ab", "c")
    assert digest(1) != digest("1")
    assert generator(1, "x").random() == generator(1, "x").random() != generator(1, "y").random()
