"""The picture of the house shows the house."""

from __future__ import annotations

import pytest

from tests.house.write_architecture import PAGE, import_graph, page, reduced


def test_the_drawings_are_those_of_the_import_graph() -> None:
    written = PAGE.read_text()
    assert page(written, import_graph()) == written, "run python tests/house/write_architecture.py"


def test_what_a_longer_path_implies_is_not_drawn() -> None:
    assert reduced({("a", "b"), ("b", "c"), ("a", "c"), ("a", "d")}) == {
        ("a", "b"), ("b", "c"), ("a", "d"),
    }  # fmt: skip


def test_a_circle_is_refused() -> None:
    with pytest.raises(ValueError, match="in a circle: a, b"):
        reduced({("a", "b"), ("b", "a"), ("c", "a")})
