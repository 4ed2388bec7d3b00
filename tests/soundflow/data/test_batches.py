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
from soundflow.data.augment import AudioAugmentConfig, AugmentConfig, augment, augment_audio
from soundflow.data.batch import Batch, packed
from soundflow.data.config import DataConfig, DataSource, LengthWarmUp
from soundflow.data.dataset import FeatureCache, HeldOut, TrainUpdates
from soundflow.data.features import first_chunks, stream_features
from soundflow.data.mixture import Mixture
from soundflow.protocol.layout import Role, parse_online
from soundflow.protocol.spec import StreamSpec
from soundflow.shards.reader import ShardSet
from soundflow.shards.schema import StreamSample

Make = Callable[..., StreamSample]
STRONG = AugmentConfig(gain_db=6, tilt_db=6, noise=0.1, bands=2, gaps=2)


def updates(folder: Path, **how: object) -> TrainUpdates:
    ranks = {key: how.pop(key) for key in ("rank", "world") if key in how}
    shards = ShardSet(folder / "train")
    base = {"global_batch_size": 8, "row_tokens": 400, "augment": STRONG}
    config = DataConfig((DataSource(folder),), **{**base, **how})
    return TrainUpdates([shards], Mixture(1, (len(shards),), (1.0,)), config, 10, **ranks)


def same(a: Batch, b: Batch) -> bool:
    pairs = [(getattr(a, f.name), getattr(b, f.name)) for f in fields(Batch)]
    return all(torch.equal(x, y) if torch.is_tensor(x) else x == y for x, y in pairs)


def test_features_are_those_of_a_live_stream(
    spec: StreamSpec, make_tone_stream: Make, make_text_stream: Make
) -> None:
    samples = [make_tone_stream(0, 3), make_text_stream(1), make_tone_stream(1, 5)]
    batch = packed([stream_features(s, spec) for s in samples], spec)
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


def test_indices_point_at_what_they_say(
    spec: StreamSpec, make_tone_stream: Make, make_text_stream: Make
) -> None:
    samples = [make_tone_stream(1, 5), make_text_stream(1), make_tone_stream(0, 3)]
    batch = packed([stream_features(s, spec) for s in samples], spec)
    ids = np.concatenate([s.ids for s in samples])
    roles = np.concatenate([s.roles for s in samples])
    assert batch.ids.tolist() == ids.tolist()
    assert batch.lengths == tuple(len(s.ids) for s in samples)
    assert batch.starts.tolist() == [0, *np.cumsum(batch.lengths).tolist()]
    assert batch.positions.tolist() == [i for n in batch.lengths for i in range(n)]
    assert (
        batch.slots.tolist()
        == np.flatnonzero(np.isin(ids, [spec.tokens.pad, spec.tokens.audio_pad])).tolist()
    )
    assert len(batch.slots) == 10 * len(batch.mel)
    at = batch.at + 1
    assert batch.targets.tolist() == ids[at].tolist()
    assert (roles[at[: batch.decisions]] == Role.DECISION).all()
    assert (roles[at[batch.decisions :]] == Role.REPLY).all()
    assert len(at) == (roles != Role.CONTEXT).sum()
    assert batch.reply_tokens == (roles == Role.REPLY).sum()
    assert batch.stream_ids == tuple(s.record.id for s in samples)


def test_a_row_without_a_stream(spec: StreamSpec) -> None:
    batch = packed([], spec)
    assert (len(batch.ids), len(batch.targets), len(batch.slots)) == (1, 0, 0)
    assert batch.mel.shape == (0, 128, 40)
    assert batch.lengths == (1,)


def test_what_is_planned_is_what_is_loaded(tone_data: Path) -> None:
    """The counts of the whole update, which no rank sees, are those of its rows."""
    how = {"world": 3, "truncate": 0.5, "length_warm_up": LengthWarmUp(3, 2, 4)}
    for u in range(6):
        ranks = [updates(tone_data, rank=r, **how) for r in range(3)]
        found = [rank[u] for rank in ranks]
        assert len({len(update.batches) for update in found}) == 1
        batches = [b for update in found for b in update.batches]
        assert sum(b.decisions for b in batches) == found[0].decisions
        assert sum(b.reply_tokens for b in batches) == found[0].reply_tokens
        rows = [row for rows in ranks[0].plan(u).ranks for row in rows]
        for batch, row in zip(batches, rows, strict=True):
            assert batch.lengths == (tuple(s.lengths.tokens for s in row) or (1,))


def test_sources_are_mixed(tone_data: Path) -> None:
    shards = [ShardSet(tone_data / name) for name in ("train", "valid")]
    config = DataConfig((DataSource(tone_data),) * 2, global_batch_size=8)
    mixed = TrainUpdates(shards, Mixture(1, (24, 6), (3.0, 1.0)), config, 10)
    held_out = {shards[1].entry(i).id for i in range(6)}
    for u in range(4):
        assert len(held_out.intersection(mixed.stream_ids(u))) == 2
        assert {i for b in mixed[u].batches for i in b.stream_ids} == set(mixed.stream_ids(u))


def test_workers_and_caches_change_nothing(tone_data: Path) -> None:
    plain = updates(tone_data)
    want = [plain[u] for u in range(4)]
    cached = updates(tone_data, cache_mb=1)
    loader = DataLoader(plain, batch_size=None, sampler=range(4), num_workers=2)
    for u, (a, b) in enumerate(zip(want, loader, strict=True)):
        for other in (b, cached[u], cached[u]):
            assert all(map(same, a.batches, other.batches))
            assert (a.decisions, a.reply_tokens) == (other.decisions, other.reply_tokens)


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
    warm = updates(tone_data, length_warm_up=LengthWarmUp(updates=3, from_chunks=2, to_chunks=4))
    longest = [max(s.lengths.chunks for r in warm.plan(u).ranks[0] for s in r) for u in range(5)]
    assert longest == [2, 3, 4, 6, 6]
    assert len(warm[0].batches[0].mel) == sum(s.lengths.chunks for s in warm.plan(0).ranks[0][0])
    for a, b in zip(warm[4].batches, updates(tone_data)[4].batches, strict=True):
        assert same(a, b)


def test_the_cache_stays_within_its_limit(tone_data: Path) -> None:
    shards = ShardSet(tone_data / "train")
    one = stream_features(shards.read(0), shards.spec).mel.nbytes
    cache = FeatureCache([shards], 3 * one)
    for stream in range(len(shards)):
        cache.get(0, stream)
        assert cache._bytes <= 3 * one
    assert cache._bytes == sum(h.mel.nbytes for h in cache._held.values())


def test_held_out_streams_come_once_and_undistorted(tone_data: Path, spec: StreamSpec) -> None:
    shards = ShardSet(tone_data / "valid")
    features = {s.id: s for s in (stream_features(shards.read(i), spec) for i in range(6))}
    for world in (1, 2, 4, 8):
        ranks = [list(HeldOut([shards], 300, rank=r, world=world)) for r in range(world)]
        assert len({len(rows) for rows in ranks}) == 1
        rows = [row for rows in ranks for row in rows]
        assert sorted(i for row in rows for i in row.stream_ids) == sorted(features)
        for row in rows:
            assert same(row, packed([features[i] for i in row.stream_ids], spec))


def test_audio_is_distorted_before_the_front_end(tone_data: Path, spec: StreamSpec) -> None:
    loud = AugmentConfig(audio=AudioAugmentConfig(gain_db=12, noise=1.0))
    noisy = updates(tone_data, augment=loud)[2].batches
    plain = updates(tone_data, augment=AugmentConfig())[2].batches
    for a, b in zip(noisy, plain, strict=True):
        assert torch.equal(a.ids, b.ids)
        assert torch.equal(a.at, b.at)
        assert not len(a.mel) or not torch.equal(a.mel, b.mel)
    again = updates(tone_data, augment=loud)[2].batches
    assert all(map(same, noisy, again))
    with pytest.raises(ValueError, match="cache_mb=1 keeps features"):
        updates(tone_data, augment=loud, cache_mb=1)


def test_noise_comes_at_its_ratio_and_within_full_scale() -> None:
    rng = np.random.default_rng(0)
    audio = (0.9 * np.sin(np.arange(32_000) / 20)).astype(np.float32)
    only_noise = AudioAugmentConfig(noise=1.0, snr_db=(20.0, 20.0))
    out = augment_audio(0.1 * audio, only_noise, rng)
    noise = out - 0.1 * audio
    ratio = np.mean(np.square(0.1 * audio)) / np.mean(np.square(noise))
    assert 10 * np.log10(ratio) == pytest.approx(20.0, abs=0.1)
    for seed in range(20):
        loud = augment_audio(audio, AudioAugmentConfig(24, 0.5), np.random.default_rng(seed))
        assert np.abs(loud).max() <= 1.0 + 1e-6
    assert augment_audio(audio, AudioAugmentConfig(), rng) is audio
    silence = np.zeros(100, np.float32)
    np.testing.assert_array_equal(augment_audio(silence, only_noise, rng), silence)


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
