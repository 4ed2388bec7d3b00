"""Composes an offline sample: its recording, at a common level, and its tokens."""

from __future__ import annotations

from typing import Any

import numpy as np

from data_build.compose.config import ComposeConfig
from data_build.compose.mix import source_of, taper
from data_build.compose.timeline import STEP, Prepare
from data_build.drops import Drop, Dropped
from data_build.plans import OfflinePlan
from data_build.pools.prepare import PreparedClip
from data_build.randomness import StreamSeed, between
from data_build.tokenize import Vocabulary, offline_sample
from soundflow.audio.level import Float32, active_power, audible_span, gain_to
from soundflow.protocol.timebase import TimeBase
from soundflow.shards.schema import MixedItem, OfflineTurn, StreamRecord, StreamSample, quantise


def compose_offline(
    plan: OfflinePlan,
    prepare: Prepare,
    config: ComposeConfig,
    vocabulary: Vocabulary,
    seed: StreamSeed,
    provenance: dict[str, Any],
) -> StreamSample:
    """The sample of ``plan``; a sound longer than a stream may be is cut.

    Raises:
        Dropped: if the recording cannot be used, or is speech that is longer.
    """
    time = vocabulary.spec.time
    samples, items = np.zeros(0, np.float32), tuple[MixedItem, ...]()
    if plan.clip is not None:
        clip = prepare(plan.clip)
        if plan.clip.kind == "speech" and time.chunks_in(len(clip.samples)) > config.max_chunks:
            reason = f"speech is longer than a stream may be (max_chunks: {config.max_chunks})"
            raise Dropped(Drop(STEP, plan.clip.id, reason, "choice"))
        samples, gain_db = _levelled(clip, config, time, seed)
        report = clip.report
        items = (
            MixedItem(
                source_of(plan.clip), "recording", "foreground", 0, len(samples), gain_db,
                *audible_span(samples), plan.clip.speaker, plan.clip.text,
                language=plan.clip.language, hit_limit=report.hit_limit if report else None,
            ),
        )  # fmt: skip
    pcm = quantise(samples)
    record = StreamRecord(
        id=plan.id,
        kind="offline",
        ability=plan.ability,
        task=plan.form,
        system=plan.system,
        n_samples=len(pcm),
        offline=OfflineTurn(plan.user, plan.answer),
        items=items,
        provenance={**provenance, "notes": plan.notes},
    )
    return offline_sample(record, pcm, vocabulary)


def _levelled(
    clip: PreparedClip, config: ComposeConfig, time: TimeBase, seed: StreamSeed
) -> tuple[Float32, float]:
    """The clip at a drawn level, padded to whole chunks, and its gain in dB."""
    samples = clip.samples[: config.max_chunks * time.chunk_samples]
    samples = taper(samples, time.samples(config.fade_s))
    level_db = between(config.level_db, seed.generator("levels"))
    gain = gain_to(level_db, active_power(samples))
    peak = float(np.abs(samples).max(initial=0.0)) * gain
    gain = min(gain, gain * config.peak / peak) if peak else gain
    samples = samples * np.float32(gain)
    padded = np.pad(samples, (0, time.padding_of(len(samples))))
    return padded, round(20 * float(np.log10(max(gain, 1e-6))), 3)
