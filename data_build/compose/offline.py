"""An offline plan becomes a sample: its recording as it is, at a common level, and its tokens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np

from data_build.compose.config import ComposeConfig
from data_build.compose.mix import taper
from data_build.pools.prepare import PreparedClip
from data_build.records import Clip
from data_build.tasks.offline import OfflinePlan
from data_build.tokenize import Vocabulary, offline_sample
from soundflow.audio.level import active_power, gain_to
from soundflow.protocol.timebase import TimeBase
from soundflow.shards.schema import Pcm, StreamRecord, StreamSample, quantise


def compose_offline(
    plan: OfflinePlan,
    hear: Callable[[Clip], PreparedClip],
    config: ComposeConfig,
    vocabulary: Vocabulary,
    rng: np.random.Generator,
    provenance: dict[str, Any],
) -> StreamSample:
    """The sample of ``plan``; a recording longer than a stream may be is cut.

    The record keeps question and answer under ``provenance["offline"]``: replies and events belong
    to streams.

    Raises:
        BadClip: if the recording cannot be used.
    """
    pcm = _recording(plan.clip, hear, config, vocabulary.spec.time, rng)
    clip = plan.clip
    record = StreamRecord(
        id=plan.id,
        kind="offline",
        ability=plan.ability,
        task=plan.form,
        system=plan.system,
        n_samples=len(pcm),
        provenance={
            **provenance,
            "notes": plan.notes,
            "offline": {"user": plan.user, "answer": plan.answer},
            "items": [] if clip is None else [{"clip": clip.id, **asdict(clip.origin)}],
        },
    )
    return offline_sample(record, pcm, plan.user, plan.answer, vocabulary)


def _recording(
    clip: Clip | None,
    hear: Callable[[Clip], PreparedClip],
    config: ComposeConfig,
    time: TimeBase,
    rng: np.random.Generator,
) -> Pcm:
    if clip is None:
        return np.zeros(0, np.int16)
    samples = hear(clip).samples[: config.max_chunks * time.chunk_samples]
    samples = taper(samples, time.samples(config.fade_s))
    samples *= np.float32(gain_to(float(rng.uniform(*config.level_db)), active_power(samples)))
    peak = float(np.abs(samples).max(initial=0.0))
    if peak > config.peak:
        samples *= np.float32(config.peak / peak)
    return quantise(np.pad(samples, (0, time.padding_of(len(samples)))))
