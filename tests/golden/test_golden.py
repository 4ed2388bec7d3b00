"""What every stage gives on a synthetic sound is what it gave before."""

from __future__ import annotations

import pytest

from tests.golden.measure import FILE, measure

TOLERANCE = 2e-4  # float32 on other processors


def test_nothing_has_moved() -> None:
    """Where this fails on purpose, run measure.py and say in the commit why the numbers moved."""
    wanted = dict(line.split() for line in FILE.read_text().splitlines())
    found = dict(measure())
    assert found.keys() == wanted.keys()
    for name, value in found.items():
        if isinstance(value, int):
            assert value == int(wanted[name]), name
        else:
            assert value == pytest.approx(float(wanted[name]), abs=TOLERANCE), name
