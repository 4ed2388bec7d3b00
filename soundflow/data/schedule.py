"""Which stream is trained on when: a pure function of (seed, epoch, position).

::

    updates    |------ 0 ------|------ 1 ------|------ 2 ------| ...
    rows       0 1 2 3 4 5 6 7 8 9 ...                            global_batch_size each
    epochs     |------- 0 --------|------- 1 --------| ...        n_streams rows each

    one update, 2 ranks, micro-batches of 2:   sorted by length  a b c d e f g h
        rank 0: (a c) (e g)      rank 1: (b d) (f h)

Neither the number of ranks nor of workers changes the streams of an update, and the position
after any number of updates is known without replaying them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import pydantic.dataclasses
from pydantic import NonNegativeInt, PositiveInt

from soundflow.config.settings import SETTINGS


@dataclass(frozen=True)
class Row:
    """One stream at its place in training: its index in the shards, and when it is seen."""

    stream: int
    epoch: int
    position: int  # in its epoch

    def generator(self, seed: int, purpose: int) -> np.random.Generator:
        """The randomness of this very row; ``purpose`` keeps different uses apart."""
        return np.random.default_rng((seed, purpose, self.epoch, self.position))


@dataclass(frozen=True)
class Schedule:
    """The order of training.

    Raises:
        ValueError: if there is nothing to order.
    """

    seed: int
    n_streams: int
    global_batch_size: int

    def __post_init__(self) -> None:
        if self.n_streams < 1 or self.global_batch_size < 1:
            raise ValueError(
                f"need streams and rows, got n_streams={self.n_streams}, "
                f"global_batch_size={self.global_batch_size}"
            )

    def row(self, at: int) -> Row:
        """The row at place ``at`` of the whole training."""
        epoch, position = divmod(at, self.n_streams)
        return Row(int(_order(self.seed, epoch, self.n_streams)[position]), epoch, position)

    def rows(self, update: int) -> list[Row]:
        start = update * self.global_batch_size
        return [self.row(at) for at in range(start, start + self.global_batch_size)]


@pydantic.dataclasses.dataclass(frozen=True, config=SETTINGS)
class LengthWarmUp:
    """Early updates see only the beginning of each stream, growing from ``from_chunks``.

    At first the model only learns where to attend, which is quicker with fewer positions, at a
    fraction of the cost (Li et al., 2022, "The stability-efficiency dilemma").

    ``updates`` 0 switches it off; the last one of them reaches ``to_chunks``.
    """

    updates: NonNegativeInt = 0
    from_chunks: PositiveInt = 8
    to_chunks: PositiveInt = 60

    def __post_init__(self) -> None:
        if self.from_chunks > self.to_chunks:
            raise ValueError(
                f"from_chunks={self.from_chunks} must not exceed to_chunks={self.to_chunks}"
            )

    def limit_chunks(self, update: int) -> int | None:
        """How many chunks of a stream update ``update`` sees; None: all."""
        if update >= self.updates:
            return None
        grown = (self.to_chunks - self.from_chunks) * update // max(1, self.updates - 1)
        return self.from_chunks + grown


def micro_batches(
    rows: list[Row],
    length: Callable[[int], int],
    micro_batch_size: int,
    rank: int = 0,
    world: int = 1,
) -> list[list[Row]]:
    """One rank's share of an update, rows of similar length together so that little is padded.

    Every rank gets the same number of micro-batches of the same number of rows.

    Args:
        length: tokens of a stream by its index.

    Raises:
        ValueError: if the rows do not divide evenly.
    """
    if len(rows) % (micro_batch_size * world):
        raise ValueError(
            f"global_batch_size={len(rows)} is not a multiple of "
            f"micro_batch_size={micro_batch_size} x {world} ranks"
        )
    by_length = sorted(rows, key=lambda row: (length(row.stream), row.epoch, row.position))
    mine = by_length[rank::world]
    return [mine[i : i + micro_batch_size] for i in range(0, len(mine), micro_batch_size)]


@lru_cache(maxsize=2)
def _order(seed: int, epoch: int, n_streams: int) -> npt.NDArray[np.int64]:
    return np.random.default_rng((seed, 0, epoch)).permutation(n_streams)
