"""The timeline: exact samples, gaps in their range, whole chunks, never beyond the cap."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from data_build.compose.config import ComposeConfig
from data_build.compose.timeline import lay_out
from data_build.randomness import generator
from soundflow.protocol.timebase import TimeBase

TIME = TimeBase()


@given(
    st.lists(st.integers(1, 90_000), max_size=12),
    st.tuples(st.integers(0, 30), st.integers(0, 40)),
    st.integers(1, 60),
    st.integers(0, 10**6),
)
def test_items_keep_their_order_gaps_and_bounds(
    lengths: list[int], gap: tuple[int, int], max_chunks: int, seed: int
) -> None:
    slots = (gap[0], gap[0] + gap[1])
    config = ComposeConfig(gap_slots=slots, tail_slots=slots, max_chunks=max_chunks)
    timeline = lay_out(lengths, config, TIME, generator(seed))
    assert timeline.n_samples % TIME.chunk_samples == 0
    assert 1 <= timeline.n_samples // TIME.chunk_samples <= max_chunks
    end = 0
    for start, length in zip(timeline.starts_samples, lengths, strict=False):
        assert slots[0] * TIME.slot_samples <= start - end <= slots[1] * TIME.slot_samples
        end = start + length
    assert end <= timeline.n_samples


def test_the_tail_is_kept_before_the_chunk_boundary() -> None:
    config = ComposeConfig(gap_slots=(10, 10), tail_slots=(7, 7))
    timeline = lay_out([1_000], config, TIME, generator(0))
    assert timeline.starts_samples == (6_400,)
    assert timeline.n_samples == 12_800  # 6400 + 1000 + 7 * 640, up to the next chunk


def test_what_does_not_fit_is_left_out_with_all_that_follows() -> None:
    config = ComposeConfig(gap_slots=(0, 0), tail_slots=(0, 0), max_chunks=3)
    timeline = lay_out([6_400, 19_200, 100], config, TIME, generator(0))
    assert timeline.starts_samples == (0,)
