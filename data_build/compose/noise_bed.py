"""A noise track: clips joined with cross-fades until the stream is full."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from data_build.records import Clip
from soundflow.audio.level import Float32


def noise_bed(
    n_samples: int,
    pool: Sequence[Clip],
    read: Callable[[Clip], Float32],
    crossfade_samples: int,
    rng: np.random.Generator,
) -> tuple[Float32, tuple[Clip, ...]]:
    """Noise of ``n_samples`` and its clips.

    Clips are drawn with replacement, each entered at a random point, and joined with equal-power
    cross-fades (the power of uncorrelated noises stays level through the join).
    """
    out = np.zeros(n_samples, np.float32)
    used: list[Clip] = []
    at = 0
    while at < n_samples:
        clip = pool[int(rng.integers(len(pool)))]
        samples = read(clip)
        # Entered in its first half: long clips give other stretches, short ones are not eaten up.
        piece = samples[int(rng.integers(len(samples) // 2 + 1)) :]
        fade = min(crossfade_samples, at, len(piece) - 1, n_samples - at)
        start = at - fade
        piece = piece[: n_samples - start].copy()
        fade = min(fade, len(piece))
        if fade:
            angle = (np.arange(fade, dtype=np.float32) + 0.5) * np.float32(np.pi / 2 / fade)
            piece[:fade] *= np.sin(angle)
            out[start:at] *= np.cos(angle)
        out[start : start + len(piece)] += piece
        used.append(clip)
        at = max(start + len(piece), at + 1)
    return out, tuple(used)
