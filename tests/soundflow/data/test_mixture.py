"""The order of training is arithmetic, not history."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundflow.data.config import DataConfig, DataSource
from soundflow.data.mixture import PERIOD, Draw, Mixture, weights_of

SIZES = st.lists(st.integers(1, 40), min_size=1, max_size=4).map(tuple)


@given(st.integers(0, 99), SIZES, st.integers(1, 9), st.integers(0, 200))
def test_a_pure_function_of_seed_and_draw(
    seed: int, sizes: tuple[int, ...], batch: int, update: int
) -> None:
    mixture = Mixture(seed, sizes, (1.0,) * len(sizes))
    once = mixture.update(update, batch)
    assert once == Mixture(seed, sizes, (1.0,) * len(sizes)).update(update, batch)
    assert once == [mixture.draw(update * batch + i) for i in range(batch)]


@given(st.integers(0, 99), st.integers(1, 40), st.integers(0, 5))
def test_an_epoch_sees_every_stream_once(seed: int, n_streams: int, epoch: int) -> None:
    mixture = Mixture(seed, (n_streams,), (1.0,))
    start = epoch * n_streams
    seen = [mixture.draw(at).stream for at in range(start, start + n_streams)]
    assert sorted(seen) == list(range(n_streams))


@given(st.lists(st.floats(0.01, 100), min_size=2, max_size=5), st.integers(0, 3 * PERIOD))
def test_every_stretch_has_the_sources_by_weight(weights: list[float], start: int) -> None:
    mixture = Mixture(0, (7,) * len(weights), tuple(weights))
    drawn = Counter(mixture.draw(at).source for at in range(start, start + 500))
    for source, weight in enumerate(weights):
        # Evenly spaced draws differ from their share by one at each end, and by the rounding.
        assert abs(drawn[source] - 500 * weight / sum(weights)) < 2.5


@given(SIZES, st.integers(0, 2 * PERIOD))
def test_each_source_runs_through_its_own_epochs(sizes: tuple[int, ...], start: int) -> None:
    mixture = Mixture(3, sizes, tuple(range(1, len(sizes) + 1)))
    places: dict[int, list[int]] = {}
    for at in range(start, start + 300):
        draw = mixture.draw(at)
        places.setdefault(draw.source, []).append(draw.epoch * sizes[draw.source] + draw.position)
    for found in places.values():
        assert found == list(range(found[0], found[0] + len(found)))


def test_epochs_seeds_and_sources_differ() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        mixture = Mixture(seed, (50,), (1.0,))
        return [mixture.draw(epoch * 50 + i).stream for i in range(50)]

    assert order(1, 0) != order(1, 1) != order(2, 1)
    pair = Mixture(1, (50, 50), (1.0, 1.0))
    draws = [pair.draw(at) for at in range(100)]
    one, two = ([d.stream for d in draws if d.source == s] for s in (0, 1))
    assert one != two


def test_weights_default_to_the_number_of_streams() -> None:
    bare = [DataSource(Path("a")), DataSource(Path("b"))]
    assert weights_of(bare, (10, 30)) == (10.0, 30.0)
    given_weights = [DataSource(Path("a"), 2.0), DataSource(Path("b"), 1.0)]
    assert weights_of(given_weights, (10, 30)) == (2.0, 1.0)
    with pytest.raises(ValueError, match="to all of them, or to none"):
        DataConfig((DataSource(Path("a"), 2.0), DataSource(Path("b"))))


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(ValueError, match="need streams"):
        Mixture(0, (0,), (1.0,))
    with pytest.raises(ValueError, match="source 1 has 1e-09"):
        Mixture(0, (5, 5), (1.0, 1e-9))


def test_every_draw_has_its_own_randomness() -> None:
    draws = (Draw(0, 5, 0, 1), Draw(0, 5, 1, 1), Draw(1, 5, 0, 1))
    drawn = {draw.generator(seed, p).integers(1 << 60)
             for draw in draws for seed in (0, 1) for p in (0, 1)}  # fmt: skip
    assert len(drawn) == 12
    assert draws[0].generator(0, 1).integers(1 << 60) == draws[0].generator(0, 1).integers(1 << 60)
