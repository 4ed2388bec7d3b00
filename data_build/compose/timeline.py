"""Places the items of a plan in time; a plan that does not fit is given up for another one.

::

    gap     item 0      gap    item 1  tail   to the chunk boundary
    ~~~~~~[=========]~~~~~~~~~[=====]~~~~~~~~~~~~~|
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from data_build.compose.beds import Bed
from data_build.compose.config import ComposeConfig
from data_build.compose.mix import Placed, place
from data_build.drops import Drop, Dropped
from data_build.plans import AudibleItem, Item, StreamPlan
from data_build.pools.onsets import count_onsets, trend
from data_build.pools.prepare import PreparedClip
from data_build.randomness import StreamSeed, whole_between
from data_build.records import Clip
from soundflow.audio.level import audible_span
from soundflow.protocol.timebase import TimeBase

STEP = "compose"
Prepare = Callable[[Clip], PreparedClip]


@dataclass(frozen=True)
class Timeline:
    """A plan in time.

    Attributes:
        plan: with the items that are in the stream, in their order.
        placed: where each of them lies.
        left_out: foreground items at the end of the plan that found no room.
        beds: the noise under all of it, once it is drawn.
    """

    plan: StreamPlan
    placed: tuple[Placed, ...]
    n_samples: int
    left_out: int
    beds: tuple[Bed, ...] = ()

    def audible(self) -> tuple[AudibleItem, ...]:
        """All that can be heard, for the labels: the items with their spans, then the noise."""
        items = (
            AudibleItem(
                item, where.on_samples, where.end_samples,
                None if item.clip.kind == "speech" else count_onsets(where.samples),
                None if item.clip.kind == "speech" else trend(where.samples),
            )
            for item, where in zip(self.plan.items, self.placed, strict=True)
        )  # fmt: skip
        return (*items, *(noise for bed in self.beds for noise in bed.audible()))


def lay_out(
    plan: StreamPlan, prepare: Prepare, config: ComposeConfig, time: TimeBase, seed: StreamSeed
) -> Timeline:
    """The plan in time: foreground items one after another, the others behind them.

    Args:
        prepare: gives the samples of a clip.

    Raises:
        Dropped: if a clip cannot be used, or so little fits that the plan loses its point.
    """
    front = [item for item in plan.items if item.track == "foreground"]
    silence = time.samples(config.junction_silence_s)
    clips = [at_junction(prepare(item.clip), silence) for item in front]
    rng = seed.generator("timeline")
    starts, n_samples = place_in_sequence([len(c.samples) for c in clips], config, time, rng)
    if len(starts) < plan.least:
        reason = f"{plan.task} is longer than a stream may be (compose.max_chunks)"
        raise Dropped(Drop(STEP, f"{plan.id}: {config.max_chunks} chunks", reason, "choice"))
    fade = time.samples(config.fade_s)
    items = front[: len(starts)]
    placed = [
        place(clip, at, "foreground", fade, is_speech=item.clip.kind == "speech")
        for item, clip, at in zip(items, clips, starts, strict=False)
    ]
    for item in plan.items:
        if item.track != "foreground":
            items.append(item)
            placed.append(_beside(item, prepare(item.clip), n_samples, fade, rng))
    kept = replace(plan, items=tuple(items))
    return Timeline(kept, tuple(placed), n_samples, len(front) - len(starts))


def place_in_sequence(
    lengths_samples: Sequence[int], config: ComposeConfig, time: TimeBase, rng: np.random.Generator
) -> tuple[tuple[int, ...], int]:
    """Start of every item that fits, and the length of the stream in whole chunks, in samples.

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
    return tuple(starts), max(1, time.chunks_in(total)) * time.chunk_samples


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
    ready = clip.ready_samples
    if ready is not None:
        ready = min(max(ready - start, 0), stop - start)
    samples = clip.samples[start:stop]
    return replace(clip, samples=samples, ready_samples=ready, skipped_samples=start)


def _beside(
    item: Item, clip: PreparedClip, n_samples: int, fade: int, rng: np.random.Generator
) -> Placed:
    """Background at a random offset; an ambient clip is repeated over the whole stream."""
    samples = clip.samples
    if item.track == "ambient" and len(samples) < n_samples:
        samples = np.resize(samples, n_samples)
    samples = samples[:n_samples]
    start = whole_between((0, n_samples - len(samples)), rng)
    is_speech = item.clip.kind == "speech"
    return place(replace(clip, samples=samples), start, item.track, fade, is_speech=is_speech)
