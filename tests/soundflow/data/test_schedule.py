"""The order of training is arithmetic, not history."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundflow.data.schedule import Row, Schedule, micro_batches


@given(st.integers(0, 99), st.integers(1, 40), st.integers(1, 9), st.integers(0, 200))
def test_a_pure_function_of_seed_epoch_and_position(
    seed: int, n_streams: int, rows: int, update: int
) -> None:
    schedule = Schedule(seed, n_streams, rows)
    once = schedule.rows(update)
    assert once == Schedule(seed, n_streams, rows).rows(update)
    assert once == [schedule.row(update * rows + i) for i in range(rows)]
    # The cut into updates does not change the order of streams.
    joined = [r for u in range(3) for r in schedule.rows(u)]
    assert joined == [Schedule(seed, n_streams, 1).row(i) for i in range(3 * rows)]


@given(st.integers(0, 99), st.integers(1, 40), st.integers(0, 5))
def test_an_epoch_sees_every_stream_once(seed: int, n_streams: int, epoch: int) -> None:
    schedule = Schedule(seed, n_streams, 1)
    start = epoch * n_streams
    seen = [schedule.row(at).stream for at in range(start, start + n_streams)]
    assert sorted(seen) == list(range(n_streams))


def test_epochs_and_seeds_differ() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        return [Schedule(seed, 50, 1).row(epoch * 50 + i).stream for i in range(50)]

    assert order(1, 0) != order(1, 1) != order(2, 1)


def length(stream: int) -> int:
    return 7 * stream % 31


@given(st.sampled_from([1, 2, 4]), st.sampled_from([1, 2, 4]), st.integers(0, 20))
def test_ranks_share_an_update_evenly(world: int, micro: int, update: int) -> None:
    rows = Schedule(3, 25, 16).rows(update)
    shares = [micro_batches(rows, length, micro, rank, world) for rank in range(world)]
    assert {tuple(len(b) for b in share) for share in shares} == {(micro,) * (16 // micro // world)}
    dealt = [row for share in shares for batch in share for row in batch]
    assert Counter(dealt) == Counter(rows)
    for share in shares:
        lengths = [length(row.stream) for batch in share for row in batch]
        assert lengths == sorted(lengths)


def test_rows_that_do_not_divide_are_refused() -> None:
    with pytest.raises(ValueError, match="global_batch_size=16 is not a multiple"):
        micro_batches(Schedule(0, 5, 16).rows(0), length, 3)
    with pytest.raises(ValueError, match="n_streams=0"):
        Schedule(0, 0, 16)


def test_every_row_has_its_own_randomness() -> None:
    a, b = Row(5, 0, 1), Row(5, 1, 1)
    draws = {row.generator(seed, p).integers(1 << 60)
             for row in (a, b) for seed in (0, 1) for p in (0, 1)}  # fmt: skip
    assert len(draws) == 8
    assert a.generator(0, 1).integers(1 << 60) == a.generator(0, 1).integers(1 << 60)
