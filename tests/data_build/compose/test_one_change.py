"""One setting changes one thing: the rest of a stream stays as it was."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from data_build.compose.beds import draw_beds
from data_build.compose.config import ComposeConfig, NoiseConfig
from data_build.compose.offline import compose_offline
from data_build.compose.stream import compose
from data_build.compose.timeline import lay_out
from data_build.drops import Dropped
from data_build.plans import Chat, Item, LabelledPlan, OfflinePlan, StreamPlan
from data_build.pools.prepare import PreparedClip
from data_build.randomness import StreamSeed, between, generator, whole_between
from data_build.records import Clip
from data_build.synth.kinds import synthesised_clip, take
from data_build.tokenize import read_vocabulary
from soundflow.shards.schema import StreamSample

VOCABULARY = read_vocabulary("tiny")
CLIPS = tuple(synthesised_clip("dog_bark", i) for i in range(3))
NOISE = tuple(synthesised_clip("rain", i) for i in range(4))
CONFIG = ComposeConfig(gap_slots=(5, 10), noise=NoiseConfig(snr_db=(5.0, 20.0)))
PLAN = StreamPlan(
    "s", "a", "t", "", Chat(),
    (*(Item(clip, "dog") for clip in CLIPS), Item(NOISE[0], "rain", "background")), 2,
)  # fmt: skip


def prepare(clip: Clip) -> PreparedClip:
    kind = "dog_bark" if clip in CLIPS else "rain"
    return PreparedClip(take(kind, generator(clip.id), 0.5 if clip in CLIPS else 2.0).samples)


def made(config: ComposeConfig, plan: StreamPlan = PLAN) -> StreamSample:
    seed = StreamSeed(1, "train", 7)
    timeline = lay_out(plan, prepare, config, VOCABULARY.spec.time, seed)
    n_samples, pools = timeline.n_samples, (NOISE, NOISE)
    beds = draw_beds(n_samples, pools, lambda clip: True, prepare, config.noise, seed)
    labelled = LabelledPlan(timeline.plan, ((),) * len(timeline.plan.items))
    return compose(labelled, replace(timeline, beds=beds), config, VOCABULARY, seed, {})


def test_the_snr_moves_levels_alone() -> None:
    before = made(CONFIG).record
    after = made(replace(CONFIG, noise=NoiseConfig(snr_db=(0.0, 3.0)))).record
    for old, new in zip(before.items, after.items, strict=True):
        assert replace(new, above_rest_db=old.above_rest_db) == old
    assert (after.events, after.n_samples) == (before.events, before.n_samples)
    assert [t.clips for t in after.noise] == [t.clips for t in before.noise]
    for old, new, offset in zip(before.noise, after.noise, (0.0, -5.0), strict=True):
        # the same quantile of another range
        assert (new.snr_db + offset) / 3 == pytest.approx((old.snr_db + offset - 5) / 15, abs=1e-3)


def test_the_level_moves_gains_alone() -> None:
    before = made(CONFIG).record
    after = made(replace(CONFIG, level_db=(-40.0, -35.0))).record
    assert after.events == before.events
    assert after.noise == before.noise
    assert [i.start_samples for i in after.items] == [i.start_samples for i in before.items]
    assert [i.gain_db for i in after.items] != [i.gain_db for i in before.items]


def test_gaps_move_items_alone() -> None:
    before = made(CONFIG).record
    after = made(replace(CONFIG, gap_slots=(20, 30))).record
    assert [i.clip for i in after.items] == [i.clip for i in before.items]
    assert [i.gain_db for i in after.items] == [i.gain_db for i in before.items]
    assert [t.snr_db for t in after.noise] == [t.snr_db for t in before.noise]
    assert [t.clips[0] for t in after.noise] == [t.clips[0] for t in before.noise]
    assert after.n_samples > before.n_samples


def test_another_foreground_keeps_the_noise() -> None:
    before, after = made(CONFIG), made(CONFIG, replace(PLAN, items=PLAN.items[1:]))
    assert [t.snr_db for t in after.record.noise] == [t.snr_db for t in before.record.noise]
    assert [t.clips[0] for t in after.record.noise] == [t.clips[0] for t in before.record.noise]
    assert not np.array_equal(after.pcm[:6_400], before.pcm[:6_400])


def test_streams_draw_apart() -> None:
    seeds = [StreamSeed(1, "train", 0), StreamSeed(1, "test", 0), StreamSeed(1, "train", 1),
             StreamSeed(2, "train", 0), StreamSeed(1, "train", 0, 1)]  # fmt: skip
    drawn = {float(seed.generator(p).random()) for seed in seeds for p in ("plan", "noise", "snr")}
    assert len(drawn) == 3 * len(seeds)


def test_numbers_are_quantiles_of_their_range() -> None:
    for number in range(50):
        u = float(generator(number).random())
        assert between((-3.0, 5.0), generator(number)) == -3.0 + 8.0 * u
        assert whole_between((2, 4), generator(number)) == 2 + int(3 * u)


def test_a_stream_is_never_empty_by_accident() -> None:
    with pytest.raises(Dropped, match="longer than a stream may be") as dropped:
        made(replace(CONFIG, max_chunks=1), replace(PLAN, least=1))
    assert dropped.value.drop.kind == "choice"  # another plan may fit
    short = made(replace(CONFIG, max_chunks=4), replace(PLAN, least=1))
    assert 0 < sum(i.track == "foreground" for i in short.record.items) < 3
    with pytest.raises(Dropped, match="longer than a stream may be") as dropped:
        made(replace(CONFIG, max_chunks=4), replace(PLAN, least=3))
    assert dropped.value.drop.kind == "choice"


def test_an_offline_answer_claims_no_speech_that_was_cut_off() -> None:
    clip = replace(NOISE[0], kind="speech", text="ein langer Satz", language="de")
    plan = OfflinePlan("s", "real_time_asr", "a_t", "", clip, None, clip.text)
    seed = StreamSeed(1, "train", 0)
    whole = compose_offline(plan, prepare, CONFIG, VOCABULARY, seed, {})
    assert whole.record.n_samples == 5 * 6_400
    assert whole.record.items[0].language == "de"  # an audit transcribes it in its language
    with pytest.raises(Dropped, match="longer than a stream may be"):
        compose_offline(plan, prepare, replace(CONFIG, max_chunks=1), VOCABULARY, seed, {})
