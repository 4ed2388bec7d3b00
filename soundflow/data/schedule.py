"""Which stream is trained on when: a pure function of (seed, epoch, position).

::

    updates    |------ 0 ------|------ 1 ------|------ 2 ------| ...
    rows       0 1 2 3 4 5 6 7 8 9 ...                            rows_per_update each
    epochs     |------- 0 --------|------- 1 --------| ...        n_streams rows each

    one update, 2 ranks, micro-batches of 2:   sorted by length  a b c d e f g h
        rank 0: (a c) (e g)      rank 1: (b d) (f h)

Neither the number of ranks nor of workers changes what an update learns from, and the position
after any number of updates is known without replaying them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt


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
    rows_per_update: int

    def __post_init__(self) -> None:
        if self.n_streams < 1 or self.rows_per_update < 1:
            raise ValueError(
                f"need streams and rows, got n_streams={self.n_streams}, "
                f"rows_per_update={self.rows_per_update}"
            )

    def row(self, at: int) -> Row:
        """The row at place ``at`` of the whole training."""
        epoch, position = divmod(at, self.n_streams)
        return Row(int(_order(self.seed, epoch, self.n_streams)[position]), epoch, position)

    def rows(self, update: int) -> list[Row]:
        start = update * self.rows_per_update
        return [self.row(at) for at in range(start, start + self.rows_per_update)]


@dataclass(frozen=True)
class LengthWarmUp:
    """Early updates see only the beginning of each stream, growing from ``from_chunks``.

    Nothing is learnt at first but where to look, and that is found sooner among fewer positions,
    at a fraction of the cost (Li et al., 2022, "The stability-efficiency dilemma").

    ``updates`` 0 switches it off; the last one of them reaches ``to_chunks``.
    """

    updates: int = 0
    from_chunks: int = 8
    to_chunks: int = 60

    def __post_init__(self) -> None:
        if self.updates < 0 or not 1 <= self.from_chunks <= self.to_chunks:
            raise ValueError(
                f"need updates >= 0 and 1 <= from_chunks <= to_chunks, got updates={self.updates}, "
                f"from_chunks={self.from_chunks}, to_chunks={self.to_chunks}"
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
    rows_per_micro_batch: int,
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
    if len(rows) % (rows_per_micro_batch * world):
        raise ValueError(
            f"rows_per_update={len(rows)} is not a multiple of "
            f"rows_per_micro_batch={rows_per_micro_batch} x {world} ranks"
        )
    by_length = sorted(rows, key=lambda row: (length(row.stream), row.epoch, row.position))
    mine = by_length[rank::world]
    return [mine[i : i + rows_per_micro_batch] for i in range(0, len(mine), rows_per_micro_batch)]


@lru_cache(maxsize=2)
def _order(seed: int, epoch: int, n_streams: int) -> npt.NDArray[np.int64]:
    return np.random.default_rng((seed, 0, epoch)).permutation(n_streams)
