"""Index arithmetic against the plainest possible versions of itself."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_build.tfjp.spans import (
    BLANK,
    CutMap,
    Span,
    best_span,
    runs,
    snap,
    without_long_silence,
)

MASKS = st.lists(st.booleans(), min_size=1, max_size=60).map(lambda m: np.array(m, np.bool_))


@given(MASKS)
def test_runs_are_all_of_the_mask_and_nothing_else(mask: np.ndarray) -> None:
    again = np.zeros_like(mask)
    found = runs(mask)
    for run in found:
        again[run.start : run.stop] = True
    np.testing.assert_array_equal(again, mask)
    assert all(a.stop < b.start for a, b in itertools.pairwise(found))


@given(MASKS, st.integers(1, 12))
def test_inner_silence_is_capped_and_everything_else_stays(mask: np.ndarray, longest: int) -> None:
    kept = without_long_silence(mask, longest)
    assert (np.diff(kept) > 0).all()
    gone = np.setdiff1d(np.arange(len(mask)), kept)
    assert mask[gone].all()  # only silence goes
    inner = [r for r in runs(mask) if r.start > 0 and r.stop < len(mask)]
    assert len(gone) == sum(max(0, len(r) - longest) for r in inner)
    for run in inner:
        left = np.count_nonzero((kept >= run.start) & (kept < run.stop))
        assert left == min(len(run), longest)


def test_the_middle_of_a_silence_goes() -> None:
    silent = np.array([False] + [True] * 10 + [False])
    assert without_long_silence(silent, 4).tolist() == [0, 1, 2, 9, 10, 11]


@given(st.lists(st.integers(-8, 8), min_size=1, max_size=40))
def test_the_best_span_is_the_best_of_all_spans(gains: list[int]) -> None:
    gain = np.array(gains, np.float64)
    span = best_span(gain)
    n = len(gain)
    best = max(gain[a:b].sum() for a in range(n) for b in range(a + 1, n + 1))
    assert 0 <= span.start < span.stop <= n
    assert gain[span.start : span.stop].sum() == best


@given(MASKS, st.data(), st.integers(1, 20))
def test_snapping_reaches_the_grid_without_losing_what_is_active(
    active: np.ndarray, data: st.DataObject, step: int
) -> None:
    start = data.draw(st.integers(0, len(active) - 1))
    stop = data.draw(st.integers(start + 1, len(active)))
    out = snap(Span(start, stop), active, step)
    assert out.start % step == 0
    assert out.stop % step == 0
    assert out.stop - out.start >= step
    assert out.start >= 0
    inside = np.flatnonzero(active[start:stop]) + start
    assert ((inside >= out.start) & (inside < out.stop)).all()
    assert abs(out.start - start) <= step
    assert out.stop - stop <= step


@pytest.mark.parametrize(
    ("span", "expected"),
    [
        (Span(9, 31), Span(0, 40)),  # both nearest
        (Span(11, 29), Span(20, 40)),  # the end would cut frame 25 off
        (Span(21, 24), Span(20, 40)),  # at least one step
    ],
)
def test_the_nearest_boundary_is_taken_where_only_silence_is_lost(
    span: Span, expected: Span
) -> None:
    active = np.zeros(60, np.bool_)
    active[25] = True
    assert snap(span, active, 20) == expected


@given(st.lists(st.integers(1, 5), min_size=1, max_size=12), st.data())
def test_the_cut_map_sends_every_sample_where_its_frame_went(
    steps: list[int], data: st.DataObject
) -> None:
    source = np.cumsum(steps) - 1
    blanks = data.draw(st.integers(0, 3))
    kept = np.concatenate((source, np.full(blanks, BLANK)))
    cuts = CutMap.of(kept, 160)
    for place, frame in enumerate(source.tolist()):
        for offset in (0, 80, 159) if place == 0 or frame - 1 in source else (1, 80, 159):
            assert cuts.moved(frame * 160 + offset) == place * 160 + offset
    gone = sorted(set(range(int(source[-1]))) - set(source.tolist()))
    for frame in gone:
        after = int(np.searchsorted(source, frame))
        assert cuts.moved(frame * 160 + 80) == after * 160
    moved = [cuts.moved(s) for s in range(0, (int(source[-1]) + 3) * 160, 40)]
    assert moved == sorted(moved)
    assert moved[-1] == len(source) * 160


def test_joined_maps_equal_the_map_of_the_joined_clip() -> None:
    first, second = np.array([0, 1, 4, BLANK]), np.array([2, 3, 6])
    joined = CutMap.joined(
        [CutMap.of(first, 160), CutMap.of(second, 160)],
        [0, 5 * 160, 12 * 160],
        [0, 4 * 160, 7 * 160],
    )
    assert joined == CutMap.of(np.concatenate((first, second + 5)), 160)
