"""Composes a planned stream: timeline, mix, responses, PCM, tokens.

::

    gap     item 0      gap    item 1  tail   to the chunk boundary
    ~~~~~~[=========]~~~~~~~~~[=====]~~~~~~~~~~~~~|
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from data_build.compose.config import ComposeConfig
from data_build.compose.mix import Placed, mix, place, source_of
from data_build.compose.responses import responses
from data_build.drops import Drop, Dropped
from data_build.pools.prepare import PreparedClip
from data_build.randomness import StreamSeed, whole_between
from data_build.records import Clip, Item, StreamPlan
from data_build.tokenize import Vocabulary, online_sample
from soundflow.audio.level import Float32, audible_span
from soundflow.protocol.timebase import TimeBase
from soundflow.shards.schema import MixedItem, StreamRecord, StreamSample, quantise

STEP = "compose"
Prepare = Callable[[Clip], PreparedClip]


def compose(
    plan: StreamPlan,
    noise: tuple[Sequence[Clip], Sequence[Clip]],
    prepare: Prepare,
    config: ComposeConfig,
    vocabulary: Vocabulary,
    seed: StreamSeed,
    provenance: dict[str, Any],
) -> StreamSample:
    """Mixes ``plan`` and lays out its tokens.

    Args:
        noise: event-like and ambient noise clips.
        prepare: gives the samples of a clip.
        provenance: what the caller records about the sample; what is drawn here is added.

    Raises:
        Dropped: if a clip cannot be used; if no foreground item fits, or a plan that must not be
            cut does not fit.
    """
    time = vocabulary.spec.time
    front = [i for i in plan.items if i.track == "foreground"]
    silence = time.samples(config.junction_silence_s)
    clips = [at_junction(prepare(i.clip), silence) for i in front]
    drawn = seed.generator("timeline")
    timeline = lay_out([len(clip.samples) for clip in clips], config, time, drawn)
    fitting = len(timeline.starts_samples)
    if front and not fitting:
        reason = f"its first sound is longer than {_limit(config)}"
        raise Dropped(Drop(STEP, plan.id, reason, "choice"))
    if plan.whole and fitting < len(front):
        reason = f"a plan of {plan.task} that must not be cut is longer than {_limit(config)}"
        raise Dropped(Drop(STEP, plan.id, reason, "choice"))
    fade = time.samples(config.fade_s)
    items = front[:fitting]
    placed = [
        place(clip, at, "foreground", fade)
        for clip, at in zip(clips, timeline.starts_samples, strict=False)
    ]
    for item in plan.items:
        if item.track != "foreground":
            items.append(item)
            placed.append(_beside(item, prepare(item.clip), timeline.n_samples, fade, drawn))

    def read(clip: Clip) -> Float32:
        return prepare(clip).samples

    mixed = mix(timeline.n_samples, placed, noise, read, config, seed)
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
        items=tuple(
            _mixed(i, p, gain) for i, p, gain in zip(items, placed, mixed.gains_db, strict=True)
        ),
        noise=mixed.noise_tracks,
        peak_limited=mixed.limited,
        provenance={
            **provenance,
            "notes": plan.notes,
            "left_out": len(front) - fitting,
            "level_db": mixed.level_db,
            "tfjp": {
                item.clip.id: asdict(p.clip.report)
                for item, p in zip(items, placed, strict=True)
                if p.clip.report
            },
        },
    )
    return online_sample(record, quantise(mixed.audio), vocabulary)


@dataclass(frozen=True)
class Timeline:
    """Start of every foreground item that fits, and the length of the stream (whole chunks)."""

    starts_samples: tuple[int, ...]
    n_samples: int


def lay_out(
    lengths_samples: Sequence[int], config: ComposeConfig, time: TimeBase, rng: np.random.Generator
) -> Timeline:
    """Lays items one after another with drawn gaps between.

    Gaps are drawn in samples, so that items fall anywhere in a chunk. The first item that would
    end beyond ``max_chunks`` is left out, with everything after it.
    """
    limit = config.max_chunks * time.chunk_samples
    (tail,) = _draw(rng, config.tail_slots, time, 1)
    gaps = _draw(rng, config.gap_slots, time, len(lengths_samples))
    starts: list[int] = []
    end = 0
    for gap, length in zip(gaps, lengths_samples, strict=True):
        if end + gap + length > limit:
            break
        starts.append(end + gap)
        end += gap + length
    total = min(end + tail, limit)
    return Timeline(tuple(starts), max(1, time.chunks_in(total)) * time.chunk_samples)


def _draw(
    rng: np.random.Generator, slots: tuple[int, int], time: TimeBase, count: int
) -> list[int]:
    low, high = (s * time.slot_samples for s in slots)
    return [whole_between((low, high), rng) for _ in range(count)]


def at_junction(clip: PreparedClip, silence_samples: int) -> PreparedClip:
    """A preprocessed recording with at most half of ``silence_samples`` at either end.

    At a junction the end of one clip, the gap and the beginning of the next make one silence, of
    which the gap alone is meant (method, section 2.4); silence_cut works inside a clip only.
    Clips that were made for their length (renderings, synthesised sounds) stay as they are.
    """
    if clip.report is None:
        return clip
    on, end = audible_span(clip.samples)
    start = max(0, on - silence_samples // 2)
    stop = min(len(clip.samples), end + silence_samples // 2)
    return replace(clip, samples=clip.samples[start:stop], skipped_samples=start)


def _limit(config: ComposeConfig) -> str:
    return f"a stream may be (compose.max_chunks: {config.max_chunks})"


def _beside(
    item: Item, clip: PreparedClip, n_samples: int, fade: int, rng: np.random.Generator
) -> Placed:
    """Background at a random offset; an ambient clip is repeated over the whole stream."""
    samples = clip.samples
    if item.track == "ambient" and len(samples) < n_samples:
        samples = np.resize(samples, n_samples)
    samples = samples[:n_samples]
    start = whole_between((0, n_samples - len(samples)), rng)
    return place(replace(clip, samples=samples), start, item.track, fade)


def _mixed(item: Item, placed: Placed, gain_db: float) -> MixedItem:
    report = placed.clip.report
    return MixedItem(
        clip=source_of(item.clip),
        what=item.what,
        track=item.track,
        start_samples=placed.start_samples,
        n_samples=len(placed.samples),
        gain_db=gain_db,
        speaker=item.clip.speaker,
        text=item.clip.text,
        hit_limit=report.hit_limit if report else None,
    )
