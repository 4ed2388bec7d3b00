"""Random generators seeded by content: the same parts give the same draws on any machine.

There is no global generator. Each use of randomness names its purpose and gets a generator of its
own: the order of the work, the number of workers and what was built before make no difference.

A stream draws for each purpose from a generator of its own, and numbers within a range as
quantiles of it. So one setting changes one thing: with another range of SNR the same plan, voices,
clips and gaps come out, and noises of other levels.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

import numpy as np

Purpose = Literal[
    "plan",  # what happens: content, order, wording
    "clips",  # which take of it
    "speech",  # in which voice
    "timeline",  # gaps, and where background items begin
    "levels",  # of the foreground
    "noise",  # which tracks there are, of which clips
    "snr",  # and how loud each is
]


def digest(*parts: object) -> str:
    """32 hex digits that change with any of ``parts`` (by their text)."""
    # repr keeps 1 and "1" apart, and the tuple keeps ("a", "bc") and ("ab", "c") apart.
    return hashlib.sha256(repr(tuple(parts)).encode()).hexdigest()[:32]


def hash64(text: str) -> int:
    """64 bits that change with ``text``."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def generator(*parts: object) -> np.random.Generator:
    """A generator seeded by ``parts`` alone."""
    return np.random.default_rng(int(digest(*parts), 16))


@dataclass(frozen=True)
class StreamSeed:
    """The seed of one stream; ``attempt`` counts the plans that were discarded."""

    seed: int
    split: str
    number: int
    attempt: int = 0

    def generator(self, purpose: Purpose) -> np.random.Generator:
        return generator(self.seed, purpose, self.split, self.number, self.attempt)


def between(bounds: tuple[float, float], rng: np.random.Generator) -> float:
    """A number of the range, as one quantile of it."""
    return bounds[0] + (bounds[1] - bounds[0]) * float(rng.random())


def whole_between(bounds: tuple[int, int], rng: np.random.Generator) -> int:
    """A whole number of the range, both ends included, as one quantile of it."""
    return min(bounds[0] + int((bounds[1] - bounds[0] + 1) * float(rng.random())), bounds[1])
