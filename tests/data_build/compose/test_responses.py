"""The response timeline: exact chunks, one turn a chunk, partial transcripts joined."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_build.compose.mix import Placed
from data_build.compose.responses import responses
from data_build.drops import Dropped
from data_build.plans import Chat, Item, LabelledPlan, StreamPlan
from data_build.pools.prepare import PreparedClip
from data_build.records import PlannedReply
from data_build.synth.kinds import synthesised_clip
from data_build.tfjp.spans import CutMap
from soundflow.protocol.timebase import TimeBase
from soundflow.protocol.turns import Event, Reply

TIME = TimeBase()
CLIP = synthesised_clip("dog_bark", 0)


def at(start: int, length: int, clip: PreparedClip | None = None) -> Placed:
    samples = np.zeros(length, np.float32)
    return Placed(
        "foreground", start, clip or PreparedClip(samples), samples, start, start + length
    )


BARK = Item(CLIP, "bark")
QUIET = PlannedReply("Quiet!", "angry", answers=("Hush!",))


def labelled(*replies: tuple[PlannedReply, ...], item: Item = BARK) -> LabelledPlan:
    """As many barks as there are replies to them."""
    plan = StreamPlan("s", "a", "t", "", Chat(), (item,) * len(replies), 1)
    return LabelledPlan(plan, replies)


@given(st.integers(0, 50_000), st.integers(1, 50_000))
def test_a_reply_belongs_to_the_chunk_of_the_last_audible_sample(start: int, length: int) -> None:
    events, replies, chunks = responses(labelled((QUIET,)), [at(start, length)], 128_000, TIME)
    end = start + length
    assert events == (Event("bark", start, end, end, True, ("Quiet!", "Hush!"), "measured"),)
    assert replies == (Reply(-(-end // 6_400) - 1, "Quiet!", "angry"),)
    assert chunks == ((replies[0].chunk,),)
    assert TIME.decision_time_samples(replies[0].chunk) - end in range(6_400)


@pytest.mark.parametrize(
    ("found_samples", "due"),
    [(4_000, (5_000, "measured")), (20_000, (21_000, "measured")), (33_000, (17_000, "assumed"))],
)
def test_a_recording_is_known_where_a_model_recognises_it(
    found_samples: int, due: tuple[int, str]
) -> None:
    """Unless the model needs more than twice the time of the table."""
    samples = np.full(40_000, 0.1, np.float32)
    clip = PreparedClip(samples, ready_samples=found_samples, ready_by="a model")
    where = Placed("foreground", 1_000, clip, samples, 1_000, 41_000)
    part = PlannedReply("Out!", needs_s=1.0, basis="assumed")
    (event,), _, _ = responses(labelled((part,)), [where], 64_000, TIME)
    assert (event.ready_samples, event.basis) == due


def test_the_maker_of_a_clip_knows_when_it_can_be_known() -> None:
    made = at(1_000, 30_000, PreparedClip(np.zeros(30_000, np.float32), ready_samples=9_000))
    whole, part = PlannedReply("It faded."), PlannedReply("Out!", needs_s=1.0)
    events, replies, _ = responses(labelled((whole, part)), [made], 64_000, TIME)
    assert (events[0].ready_samples, events[0].basis) == (10_000, "known")
    assert (events[1].ready_samples, events[1].basis) == (31_000, "measured")
    assert [(reply.chunk, reply.text) for reply in replies] == [(1, "Out!"), (4, "It faded.")]
    around = replace(made, role="ambient")  # repeated: the moment of its maker means nothing
    (event,), _, _ = responses(labelled((part,)), [around], 64_000, TIME)
    assert (event.ready_samples, event.basis) == (17_000, "known")
    silent, none, _ = responses(labelled(()), [made], 64_000, TIME)
    assert silent == (Event("bark", 1_000, 31_000, 31_000),)
    assert none == ()


def test_a_warning_waits_for_the_onset_and_what_the_class_needs_but_not_for_the_end() -> None:
    samples = np.zeros(48_000, np.float32)
    samples[8_000:40_000] = 0.5 * np.sin(np.arange(32_000))
    where = Placed("foreground", 1_000, PreparedClip(samples), samples, 1_000, 41_000)

    def event(needs_s: float | None) -> Event:
        warning = PlannedReply("Out!", needs_s=needs_s, basis="assumed")
        ((event,), _, _) = responses(labelled((warning,)), [where], 64_000, TIME)
        return event

    assert (event(0.5).ready_samples, event(0.5).basis) == (1_000 + 8_000 + 8_000, "assumed")
    assert (event(9.0).ready_samples, event(9.0).basis) == (41_000, "measured")
    assert (event(None).ready_samples, event(None).basis) == (41_000, "measured")


def test_times_move_with_what_preprocessing_cut() -> None:
    """A second cut from 0.5 s on: what the source puts at 1.6 s is heard at 0.6 s."""
    cuts = CutMap(source=(0, 150), place=(0, 50), length=(50, 100), hop_samples=160)
    heard = PreparedClip(np.zeros(24_000, np.float32), cuts=cuts)
    events, _, _ = responses(
        labelled((PlannedReply("now", after_s=1.6),)), [at(0, 24_000, heard)], 64_000, TIME
    )
    assert events[0].ready_samples == 9_600


def test_words_of_one_chunk_are_one_partial_transcript() -> None:
    words = [("turn", 0.2), ("on", 0.35), ("the", 0.55), ("light", 1.0)]
    partial = tuple(PlannedReply(w, after_s=s) for w, s in words)
    events, replies, _ = responses(labelled(partial), [at(0, 16_000)], 64_000, TIME)
    assert replies == (Reply(0, "turn on"), Reply(1, "the"), Reply(2, "light"))
    assert [e.answers for e in events] == [("turn on",), ("the",), ("light",)]
    assert [e.ready_samples for e in events] == [5_600, 8_800, 16_000]


def test_another_clips_reply_waits_for_the_next_free_chunk() -> None:
    twice = labelled((QUIET,), (QUIET,))
    _, replies, chunks = responses(twice, [at(0, 2_000), at(3_000, 2_000)], 12_800, TIME)
    assert [r.chunk for r in replies] == [0, 1]
    assert chunks == ((0,), (1,))
    with pytest.raises(Dropped, match="no chunk is left"):
        responses(twice, [at(0, 2_000), at(3_000, 2_000)], 6_400, TIME)


def test_what_lies_behind_is_answered_too_in_the_order_of_time() -> None:
    behind = labelled((QUIET,), (QUIET,), item=Item(CLIP, "bark", "background"))
    events, _, chunks = responses(behind, [at(20_000, 2_000), at(0, 2_000)], 32_000, TIME)
    assert [e.on_samples for e in events] == [0, 20_000]
    assert chunks == ((3,), (0,))


def test_a_reaction_time_moves_the_reply_and_not_the_truth() -> None:
    item = labelled((QUIET,))
    at_once, _ = (responses(item, [at(0, 6_300)], 32_000, TIME, r) for r in (0, 2_400))
    later = responses(item, [at(0, 6_300)], 32_000, TIME, 2_400)
    assert later[0] == at_once[0]
    assert ([r.chunk for r in at_once[1]], [r.chunk for r in later[1]]) == ([0], [1])
