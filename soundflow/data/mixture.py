"""Which stream is drawn when, from which source: a pure function of (seed, draw).

::

    updates   |------ 0 ------|------ 1 ------|------ 2 ------| ...
    draws     0 1 2 3 4 5 6 7 8 9 ...                              global_batch_size each
    sources   A B A A B A A A B ...                                by weight, evenly spread
    epochs    A: |--- 0 ---|--- 1 ---| ...   B: |-- 0 --|- ...     each source has its own

Neither the number of ranks nor of workers changes the streams of an update, and the place after
any number of updates is known without replaying them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt

from soundflow.data.config import DataSource

ORDER, AUGMENT, TRUNCATE = 0, 1, 2  # purpose keys of the random streams
PERIOD = (
    1 << 14
)  # draws after which the order of the sources repeats: weights are exact to 1/PERIOD


@dataclass(frozen=True)
class Draw:
    """One stream at its place in training: where it is, and when it is seen."""

    source: int
    stream: int  # in its source
    epoch: int  # of its source
    position: int  # in the epoch

    def generator(self, seed: int, purpose: int) -> np.random.Generator:
        """The randomness of this very draw; ``purpose`` keeps different uses apart."""
        return np.random.default_rng((seed, purpose, self.source, self.epoch, self.position))


@dataclass(frozen=True)
class Mixture:
    """The order of training.

    Attributes:
        sizes: streams of each source.
        weights: how often a source is drawn, against the others.

    Raises:
        ValueError: if a source is empty, or its weight is too small to be drawn.
    """

    seed: int
    sizes: tuple[int, ...]
    weights: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.sizes or min(self.sizes) < 1 or len(self.sizes) != len(self.weights):
            raise ValueError(f"need streams and a weight of each source, got {self}")
        for number, draws in enumerate(self._draws_a_period):
            if draws < 1:
                raise ValueError(
                    f"source {number} has {self.weights[number] / sum(self.weights):.1g} of the "
                    f"weight; the least that is drawn is {1 / PERIOD:.1g}"
                )

    def draw(self, at: int) -> Draw:
        """Draw number ``at`` of the whole training."""
        period, within = divmod(at, PERIOD)
        source, before = (int(column[within]) for column in self._sequence)
        drawn = period * int(self._draws_a_period[source]) + before
        epoch, position = divmod(drawn, self.sizes[source])
        stream = _order(self.seed, source, epoch, self.sizes[source])[position]
        return Draw(source, int(stream), epoch, position)

    def update(self, update: int, global_batch_size: int) -> list[Draw]:
        start = update * global_batch_size
        return [self.draw(at) for at in range(start, start + global_batch_size)]

    @cached_property
    def _draws_a_period(self) -> npt.NDArray[np.int64]:
        """By largest remainders."""
        exact = PERIOD * np.array(self.weights) / sum(self.weights)
        whole = np.floor(exact).astype(np.int64)
        most_left = np.argsort(whole - exact, kind="stable")
        whole[most_left[: PERIOD - whole.sum()]] += 1
        return whole

    @cached_property
    def _sequence(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """The source of each draw of a period, and how many draws of it come before.

        The draws of a source are spaced evenly over the period.
        """
        counts = self._draws_a_period
        source = np.repeat(np.arange(len(counts)), counts)
        before = np.concatenate([np.arange(n) for n in counts])
        order = np.argsort((before + 0.5) / counts[source], kind="stable")
        return source[order], before[order]


def weights_of(sources: Sequence[DataSource], sizes: Sequence[int]) -> tuple[float, ...]:
    """The weights as given; where none is, every stream comes as often as any other."""
    given = [source.weight for source in sources if source.weight is not None]
    return tuple(given) if given else tuple(float(size) for size in sizes)


@lru_cache(maxsize=32)
def _order(seed: int, source: int, epoch: int, n_streams: int) -> npt.NDArray[np.int32]:
    rng = np.random.default_rng((seed, ORDER, source, epoch))
    return rng.permutation(np.arange(n_streams, dtype=np.int32))
