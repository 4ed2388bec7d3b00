"""Where everything lies in a stream, in exact samples.

::

    gap     item 0      gap    item 1  tail   to the chunk boundary
    ~~~~~~[=========]~~~~~~~~~[=====]~~~~~~~~~~~~~|
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from data_build.compose.config import ComposeConfig
from data_build.randomness import whole_between
from soundflow.protocol.timebase import TimeBase


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
