"""What the model is fed: the live engine's features, whatever loads them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from soundflow.audio.frontend import StreamingLogMel
from soundflow.data.augment import AugmentConfig, augment
from soundflow.data.batch import Batch
from soundflow.data.collate import collate, first_chunks, stream_features
from soundflow.data.dataset import FeatureCache, HeldOut, TrainUpdates
from soundflow.data.schedule import LengthWarmUp, Schedule
from soundflow.protocol.layout import Role, parse_online
from soundflow.protocol.spec import StreamSpec
from soundflow.shards.reader import ShardSet
from soundflow.shards.schema import StreamSample

Make = Callable[..., StreamSample]
STRONG = AugmentConfig(gain_db=6, tilt_db=6, noise=0.1, bands=2, gaps=2)


def updates(folder: Path, **how: object) -> TrainUpdates:
    shards = ShardSet(folder / "train")
    return TrainUpdates(shards, Schedule(1, len(shards), 8), 10, 4, STRONG, **how)


def same(a: Batch, b: Batch) -> bool:
    return all(torch.equal(getattr(a, f.name), getattr(b, f.name)) for f in fields(Batch))


def test_features_are_those_of_a_live_stream(
    spec: StreamSpec, make_tone_stream: Make, make_text_stream: Make
) -> None:
    samples = [make_tone_stream(0, 3), make_text_stream(1), make_tone_stream(1, 5)]
    batch = collate([stream_features(s, spec) for s in samples], spec)
    assert batch.mel.shape == (8, 128, 40)
    at = 0
    for sample in (samples[0], samples[2]):
        live = StreamingLogMel(spec.time, spec.front_end)
        audio, chunks = sample.audio(), []
        for start in range(0, len(audio), 777):
            chunks += live.push(audio[start : start + 777])
        chunks += live.finish()
        np.testing.assert_array_equal(batch.mel[at : at + len(chunks)], np.stack(chunks))
        at += len(chunks)


def test_padding_is_neither_slot_nor_target(
    spec: StreamSpec, make_tone_stream: Make, make_text_stream: Make
) -> None:
    samples = [make_text_stream(1), make_tone_stream(1, 5)]
    batch = collate([stream_features(s, spec) for s in samples], spec)
    assert batch.ids.shape == batch.roles.shape
    for row, sample in enumerate(samples):
        n = len(sample.ids)
        assert batch.ids[row, :n].tolist() == sample.ids.tolist()
        assert (batch.roles[row, n:] == Role.CONTEXT).all()
        assert not torch.isin(
            batch.ids[row, n:], torch.tensor([spec.tokens.pad, spec.tokens.audio_pad])
        ).any()


def test_workers_and_caches_change_nothing(tone_data: Path) -> None:
    plain = updates(tone_data)
    want = [plain[u] for u in range(4)]
    cached = updates(tone_data, cache_bytes=1 << 20)
    loader = DataLoader(plain, batch_size=None, sampler=range(4), num_workers=2)
    for u, (a, b) in enumerate(zip(want, loader, strict=True)):
        assert all(map(same, a, b))
        assert all(map(same, a, cached[u]))
        assert all(map(same, a, cached[u]))


def test_ranks_together_see_the_streams_of_one(tone_data: Path) -> None:
    alone = updates(tone_data)
    pair = [updates(tone_data, rank=r, world=2) for r in (0, 1)]
    for u in range(5):
        together = pair[0].stream_ids(u) + pair[1].stream_ids(u)
        assert sorted(together) == sorted(alone.stream_ids(u))


def test_resuming_is_starting_at_another_index(tone_data: Path) -> None:
    whole = [updates(tone_data).stream_ids(u) for u in range(10)]
    again = updates(tone_data)
    assert [again.stream_ids(u) for u in range(4, 10)] == whole[4:]


def test_a_stream_as_it_was_after_some_chunks(spec: StreamSpec, make_tone_stream: Make) -> None:
    whole = stream_features(make_tone_stream(0, 5), spec)
    turns = len(parse_online(spec.tokens, 10, whole.ids.tolist()).turns)
    assert turns == 1
    for n in range(1, 7):
        cut = first_chunks(whole, n, spec)
        n_chunks = min(n, 5)
        assert len(cut.mel) == n_chunks
        assert parse_online(spec.tokens, 10, cut.ids.tolist()).n_chunks == n_chunks
        np.testing.assert_array_equal(cut.ids, whole.ids[: len(cut.ids)])
        np.testing.assert_array_equal(cut.roles, whole.roles[: len(cut.ids)])


def test_early_updates_see_beginnings_only(tone_data: Path, spec: StreamSpec) -> None:
    warm = updates(tone_data, warm_up=LengthWarmUp(updates=3, from_chunks=2, to_chunks=4))
    longest = [max((b.ids == spec.tokens.audio_begin).sum(1).max() for b in warm[u])
               for u in range(5)]  # fmt: skip
    assert longest == [2, 3, 4, 6, 6]
    for a, b in zip(warm[4], updates(tone_data)[4], strict=True):
        assert same(a, b)
    with pytest.raises(ValueError, match="from_chunks=5"):
        LengthWarmUp(3, 5, 4)


def test_the_cache_stays_within_its_limit(tone_data: Path) -> None:
    shards = ShardSet(tone_data / "train")
    one = stream_features(shards.read(0), shards.spec).mel.nbytes
    cache = FeatureCache(shards, 3 * one)
    for stream in range(len(shards)):
        cache[stream]
        assert cache._bytes <= 3 * one
    assert cache._bytes == sum(h.mel.nbytes for h in cache._held.values())


def test_held_out_streams_come_once_and_undistorted(tone_data: Path, spec: StreamSpec) -> None:
    shards = ShardSet(tone_data / "valid")
    whole = HeldOut(shards, 4)
    assert [len(b.ids) for b in whole] == [4, 2]
    assert same(whole[0], collate([stream_features(shards.read(i), spec) for i in range(4)], spec))
    ranks = [HeldOut(shards, 4, rank=r, world=2) for r in (0, 1)]
    assert [len(r) for r in ranks] == [1, 1]
    assert same(ranks[1][0], whole[1])


def test_augmentation_keeps_shape_and_original(make_tone_stream: Make, spec: StreamSpec) -> None:
    mel = stream_features(make_tone_stream(0, 4), spec).mel
    before = mel.copy()
    out = augment(mel, STRONG, np.random.default_rng(1))
    np.testing.assert_array_equal(mel, before)
    assert out.shape == mel.shape
    assert out.dtype == np.float32
    assert np.abs(out - mel).max() > 0.05
    np.testing.assert_array_equal(out, augment(mel, STRONG, np.random.default_rng(1)))
    assert augment(mel, AugmentConfig(), np.random.default_rng(1)) is mel


def test_a_gain_is_a_gain(spec: StreamSpec) -> None:
    """What a level change does to the log-mel is what the front end makes of a louder sound."""
    from soundflow.audio.frontend import log_mel

    noise = 0.05 * np.random.default_rng(0).standard_normal(12_800).astype(np.float32)
    quiet = log_mel(noise, spec.time, spec.front_end)
    loud = log_mel(noise * np.float32(10 ** (6 / 20)), spec.time, spec.front_end)
    np.testing.assert_allclose(loud, quiet + 6 / 40, atol=1e-4)


def test_negative_strengths_are_refused() -> None:
    with pytest.raises(ValueError, match="gain_db"):
        AugmentConfig(gain_db=-1)
