"""A planned stream becomes a sample: timeline, mix, responses, PCM, tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from data_build.compose.config import ComposeConfig
from data_build.compose.junctions import at_junction
from data_build.compose.mix import Mix, Placed, mix, place
from data_build.compose.responses import responses
from data_build.compose.timeline import lay_out
from data_build.pools.prepare import PreparedClip
from data_build.records import Clip, Item, StreamPlan
from data_build.tokenize import Vocabulary, online_sample
from soundflow.audio.level import Float32
from soundflow.protocol.timebase import TimeBase
from soundflow.shards.schema import StreamRecord, StreamSample, quantise


class DoesNotFit(Exception):
    """A plan that makes sense only as a whole is too long; another may be shorter."""


def compose(
    plan: StreamPlan,
    noise: tuple[Sequence[Clip], Sequence[Clip]],
    hear: Callable[[Clip], PreparedClip],
    config: ComposeConfig,
    vocabulary: Vocabulary,
    rng: np.random.Generator,
    provenance: dict[str, Any],
) -> tuple[StreamSample, Mix]:
    """Mixes ``plan`` and lays out its tokens.

    Args:
        noise: event-like and ambient noise clips.
        hear: gives a clip as it is heard, prepared.
        provenance: what the caller knows about the sample; what is drawn here is added.

    Raises:
        BadClip: if a clip cannot be used.
        DoesNotFit: if a plan that must be whole is longer than a stream may be.
    """
    time = vocabulary.spec.time
    front = [i for i in plan.items if i.track == "foreground"]
    silence = time.samples(config.junction_silence_s)
    heard = [at_junction(hear(i.clip), silence) for i in front]
    timeline = lay_out([len(h.samples) for h in heard], config, time, rng)
    if plan.whole and len(timeline.starts_samples) < len(front):
        raise DoesNotFit(f"{plan.task} does not fit {config.max_chunks} chunks")
    fade = time.samples(config.fade_s)
    items = front[: len(timeline.starts_samples)]
    placed = [
        place(h, at, "foreground", fade)
        for h, at in zip(heard, timeline.starts_samples, strict=False)
    ]
    for item in plan.items:
        if item.track != "foreground":
            items.append(item)
            placed.append(_beside(item, hear(item.clip), timeline.n_samples, fade, rng))

    def read(clip: Clip) -> Float32:
        return hear(clip).samples

    mixed = mix(timeline.n_samples, placed, noise, read, config, time.sample_rate_hz, rng)
    reaction = time.samples(config.reaction_s)
    events, replies = responses(items, placed, timeline.n_samples, time, reaction)
    record = StreamRecord(
        id=plan.id,
        kind="online",
        ability=plan.ability,
        task=plan.task,
        system=plan.system,
        n_samples=timeline.n_samples,
        replies=replies,
        events=events,
        provenance={
            **provenance,
            "notes": plan.notes,
            "items": [_source(i, p, time) for i, p in zip(items, placed, strict=True)],
            "left_out": len(front) - len(timeline.starts_samples),
            "mix": mixed.drawn,
        },
    )
    return online_sample(record, quantise(mixed.audio), vocabulary), mixed


def _beside(
    item: Item, heard: PreparedClip, n_samples: int, fade: int, rng: np.random.Generator
) -> Placed:
    """Background at a random offset; an ambient clip is repeated over the whole stream."""
    samples = heard.samples
    if item.track == "ambient" and len(samples) < n_samples:
        samples = np.resize(samples, n_samples)
    samples = samples[:n_samples]
    start = int(rng.integers(0, n_samples - len(samples) + 1))
    return place(replace(heard, samples=samples), start, item.track, fade)


def _source(item: Item, placed: Placed, time: TimeBase) -> dict[str, Any]:
    """Where an item came from, and where it lies."""
    return {
        "clip": item.clip.id,
        "what": item.what,
        "track": item.track,
        "start_samples": placed.start_samples,
        "n_samples": len(placed.samples),
        "corpus": item.clip.origin.corpus,
        "licence": item.clip.origin.licence,
        "attribution": item.clip.origin.attribution,
        "speaker": item.clip.speaker,
        "text": item.clip.text,
        **({"tfjp": placed.heard.report} if placed.heard.report else {}),
    }
