"""The number of threads is measured, from many to few."""

from __future__ import annotations

import pytest
import torch

from soundflow.model.threads import cores, use_fastest_threads


@pytest.mark.parametrize(
    ("seconds", "most", "best", "asked"),
    [
        ({2: 1.0, 1: 0.5}, 2, 1, [2, 1]),
        ({2: 1.0, 1: 1.05}, 2, 1, [2, 1]),  # hardly worth a second one
        ({6: 1.0, 4: 0.9, 2: 1.2, 1: 2.0}, 6, 4, [6, 4, 2, 1]),
        ({64: 1.0, 32: 1.6}, 64, 64, [64, 32]),  # clearly slower: no fewer are tried
        ({1: 1.0}, 1, 1, [1]),
    ],
)
def test_the_fastest_number_is_set(
    monkeypatch: pytest.MonkeyPatch,
    seconds: dict[int, float],
    most: int,
    best: int,
    asked: list[int],
) -> None:
    threads: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", threads.append)
    assert use_fastest_threads(most, lambda: seconds[threads[-1]]) == best
    assert threads == [*asked, best]


def test_there_is_a_core() -> None:
    assert cores() >= 1
