"""Noise beds: what lies under a whole stream, drawn before it is labelled.

::

    event-like noise  [ typing ~~~~~~)(~~ fire ~~~~~~~~~~~~]
    ambient noise     [ ~~ traffic ~~~~)(~~~~~ babble ~~~~~]
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from data_build.compose.config import NoiseConfig
from data_build.plans import AudibleItem, Item
from data_build.pools.prepare import PreparedClip
from data_build.randomness import StreamSeed, generator
from data_build.records import Clip, Texture
from soundflow.audio.level import Float32
from soundflow.protocol.timebase import to_samples

_TRIES = 64  # draws from a pool of noise before a stream goes without


@dataclass(frozen=True)
class Bed:
    """A noise track: clips one after another under the whole stream.

    Attributes:
        samples: (n,) float32, not scaled yet.
        clips: in order; ``starts_samples``: where each begins, in the fade of the one before.
    """

    texture: Texture
    samples: Float32
    clips: tuple[Clip, ...]
    starts_samples: tuple[int, ...]

    def audible(self) -> tuple[AudibleItem, ...]:
        """Its clips with their spans, for the labels."""
        ends = (*self.starts_samples[1:], len(self.samples))
        return tuple(
            AudibleItem(Item(clip, "noise", "ambient"), start, end, None)
            for clip, start, end in zip(self.clips, self.starts_samples, ends, strict=True)
        )


def draw_beds(
    n_samples: int,
    noise: tuple[Sequence[Clip], Sequence[Clip]],
    may_lie_under: Callable[[Clip], bool],
    prepare: Callable[[Clip], PreparedClip],
    config: NoiseConfig,
    seed: StreamSeed,
) -> tuple[Bed, ...]:
    """The noise beds of a stream of ``n_samples``.

    Args:
        noise: event-like and ambient noise clips.
        may_lie_under: which of them may be used; where none is left there is no bed.
        prepare: gives the samples of a clip.

    Raises:
        Dropped: if a clip cannot be used.
    """
    rng = seed.generator("noise")
    textures: tuple[Texture, Texture] = ("event", "ambient")
    beds: list[Bed] = []
    for texture, pool in zip(textures, noise, strict=True):
        # Both numbers are drawn whether they are needed or not: no bed changes the other.
        wanted, own = rng.random() < config.share, generator(int(rng.integers(1 << 62)))
        if wanted:
            fade = to_samples(config.crossfade_s)
            bed = _bed(texture, n_samples, pool, may_lie_under, prepare, fade, own)
            beds += [bed] if bed.clips else []
    return tuple(beds)


def _bed(
    texture: Texture,
    n_samples: int,
    pool: Sequence[Clip],
    may_lie_under: Callable[[Clip], bool],
    prepare: Callable[[Clip], PreparedClip],
    crossfade_samples: int,
    rng: np.random.Generator,
) -> Bed:
    """A bed of ``n_samples``; without clips where none of ``pool`` may be used.

    Clips are drawn with replacement, each entered at a random point, and joined with equal-power
    cross-fades (the power of uncorrelated noises stays level through the join).
    """
    out = np.zeros(n_samples, np.float32)
    used: list[Clip] = []
    starts: list[int] = []
    at = 0
    while at < n_samples:
        clip = _drawn(pool, may_lie_under, rng)
        if clip is None:
            break
        samples = prepare(clip).samples
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
        starts.append(start)
        at = max(start + len(piece), at + 1)
    return Bed(texture, out, tuple(used), tuple(starts))


def _drawn(
    pool: Sequence[Clip], may_lie_under: Callable[[Clip], bool], rng: np.random.Generator
) -> Clip | None:
    """Any clip of ``pool`` that may be used; looks at a bounded number of them."""
    for at in rng.integers(len(pool), size=_TRIES) if len(pool) else ():
        clip = pool[int(at)]
        if may_lie_under(clip):
            return clip
    return None
