"""Random generators from content: the same words give the same draws on any machine.

There is no global generator. Whoever needs chance names what it is for, and gets a stream of its
own: the order of the work, the number of workers and what was built before never matter.
"""

from __future__ import annotations

import hashlib

import numpy as np


def digest(*parts: object) -> str:
    """32 hex digits that change with any of ``parts`` (by their text)."""
    # repr keeps 1 and "1" apart, and the tuple keeps ("a", "bc") and ("ab", "c") apart.
    return hashlib.sha256(repr(tuple(parts)).encode()).hexdigest()[:32]


def generator(*parts: object) -> np.random.Generator:
    """A generator seeded by ``parts`` alone."""
    return np.random.default_rng(int(digest(*parts), 16))
