"""Where items lie: exact samples, gaps in their range, whole chunks, no silence of their own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_build.compose.config import ComposeConfig
from data_build.compose.timeline import at_junction, lay_out, place_in_sequence
from data_build.drops import Dropped
from data_build.plans import Chat, Item, StreamPlan
from data_build.pools.prepare import PreparedClip
from data_build.randomness import StreamSeed, generator
from data_build.records import Clip
from data_build.synth.kinds import synthesised_clip
from soundflow.protocol.timebase import TimeBase

TIME = TimeBase()
TAU = 4_800


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
    starts, n_samples = place_in_sequence(lengths, config, TIME, generator(seed))
    assert n_samples % TIME.chunk_samples == 0
    assert 1 <= n_samples // TIME.chunk_samples <= max_chunks
    end = 0
    for start, length in zip(starts, lengths, strict=False):
        assert slots[0] * TIME.slot_samples <= start - end <= slots[1] * TIME.slot_samples
        end = start + length
    assert end <= n_samples


def test_the_tail_is_kept_before_the_chunk_boundary() -> None:
    config = ComposeConfig(gap_slots=(10, 10), tail_slots=(7, 7))
    starts, n_samples = place_in_sequence([1_000], config, TIME, generator(0))
    assert starts == (6_400,)
    assert n_samples == 12_800  # 6400 + 1000 + 7 * 640, up to the next chunk


def test_what_does_not_fit_is_left_out_with_all_that_follows() -> None:
    config = ComposeConfig(gap_slots=(0, 0), tail_slots=(0, 0), max_chunks=3)
    assert place_in_sequence([6_400, 19_200, 100], config, TIME, generator(0))[0] == (0,)


def test_a_plan_without_its_point_is_given_up() -> None:
    config = ComposeConfig(gap_slots=(0, 0), tail_slots=(0, 0), max_chunks=3)
    dogs = (Item(synthesised_clip("dog_bark", 0), "dog"),) * 3
    plan = StreamPlan("s", "a", "count_events", "", Chat(), dogs, least=2)

    def prepare(clip: Clip) -> PreparedClip:
        return PreparedClip(padded(0, 0))  # half a second: two of them fit into 1.2 s

    timeline = lay_out(plan, prepare, config, TIME, StreamSeed(1, "train", 0))
    assert (len(timeline.plan.items), timeline.left_out) == (2, 1)
    with pytest.raises(Dropped, match="longer than a stream may be"):
        lay_out(replace(plan, least=3), prepare, config, TIME, StreamSeed(1, "train", 0))


def test_speech_is_known_as_such_on_every_track() -> None:
    bark = synthesised_clip("dog_bark", 0)
    spoken = replace(bark, kind="speech")
    items = (Item(bark, "dog", "background"), Item(spoken, "speech"), Item(bark, "dog"))
    plan = StreamPlan(
        "s", "a", "t", "", Chat(), (*items, Item(spoken, "speech", "background")), least=1
    )
    timeline = lay_out(
        plan, lambda clip: PreparedClip(padded(0, 0)), ComposeConfig(), TIME,
        StreamSeed(1, "train", 0),
    )  # fmt: skip
    for item, where in zip(timeline.plan.items, timeline.placed, strict=True):
        assert (where.role, where.is_speech) == (item.track, item.clip.kind == "speech")


def padded(before: int, after: int) -> np.ndarray:
    tone = 0.3 * np.sin(np.arange(8_000) / 5.0).astype(np.float32)
    return np.pad(tone, (before, after)).astype(np.float32)


def test_silent_ends_of_a_recording_are_cut_to_half_of_tau_each() -> None:
    heard = at_junction(PreparedClip(padded(6_400, 9_600), None, None, {"passes": 1}), TAU)
    assert len(heard.samples) == 8_000 + TAU
    assert np.array_equal(heard.samples[TAU // 2 : -TAU // 2], padded(0, 0))
    assert heard.at(6_400 / 16_000) == TAU // 2  # where the tone begins
    assert heard.at(0.0) == 0
    assert heard.at(99.0) == len(heard.samples)


def test_short_silences_and_made_clips_stay() -> None:
    short = PreparedClip(padded(1_600, 800), None, None, {"passes": 1})
    assert np.array_equal(at_junction(short, TAU).samples, short.samples)
    made = PreparedClip(padded(6_400, 9_600))
    assert at_junction(made, TAU) is made
