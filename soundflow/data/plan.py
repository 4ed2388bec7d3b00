"""What an update is made of: a pure function of its number and the lengths of the streams.

::

    draws of the update   a b c d e f g h          any source, `soundflow.data.mixture`
    cut                   a b' c d e f' g h        length warm-up, truncation after a turn
    rows                  |g f' b'|e a c|h d|      packed, at most row_tokens each
    ranks                 0: |g f' b'| |h d|
                          1: |e a c|   | |         the same number of rows; empty ones fill up

Every rank computes the same plan, so all know how many decisions and reply tokens the whole update
has. Cuts and order of the draws depend on the seed alone; ranks, workers and ``row_tokens`` change
nothing but the rows.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

from soundflow.data.config import DataConfig
from soundflow.data.mixture import TRUNCATE, Draw, Mixture
from soundflow.shards.lengths import Lengths, StreamLengths


@dataclass(frozen=True)
class PlannedStream:
    """A draw, and what is left of its stream after cutting: its first ``lengths.chunks``."""

    draw: Draw
    lengths: StreamLengths


Row = tuple[PlannedStream, ...]


@dataclass(frozen=True)
class UpdatePlan:
    """An update of all ranks.

    Attributes:
        ranks: the rows of every rank, as many for each; a row may be empty.
        decisions, reply_tokens: targets of the whole update.
    """

    ranks: tuple[tuple[Row, ...], ...]
    decisions: int
    reply_tokens: int


def plan_update(
    update: int,
    mixture: Mixture,
    lengths: Sequence[Lengths],
    config: DataConfig,
    block_tokens: int,
    world: int = 1,
) -> UpdatePlan:
    """The rows of update ``update`` for each of ``world`` ranks.

    Args:
        lengths: of each source of ``mixture``.
        block_tokens: of a chunk with its decision.

    Raises:
        ValueError: if a stream alone is longer than ``config.row_tokens``.
    """
    limit = config.length_warm_up.limit_chunks(update)
    streams = []
    for draw in mixture.update(update, config.global_batch_size):
        whole = lengths[draw.source][draw.stream]
        n_chunks = whole.chunks if limit is None else min(limit, whole.chunks)
        if config.truncate:
            n_chunks = min(n_chunks, _truncated(draw, whole, mixture.seed, config.truncate))
        streams.append(PlannedStream(draw, whole.first_chunks(n_chunks, block_tokens)))
    rows = pack_rows(streams, config.row_tokens, world)
    return UpdatePlan(
        ranks=tuple(tuple(rows[rank::world]) for rank in range(world)),
        decisions=sum(stream.lengths.decisions for stream in streams),
        reply_tokens=sum(stream.lengths.reply_tokens for stream in streams),
    )


def held_out_rows(splits: Sequence[Lengths], row_tokens: int, world: int = 1) -> list[Row]:
    """All streams of the held-out splits, packed; as many rows for each of ``world`` ranks.

    Raises:
        ValueError: if a stream alone is longer than ``row_tokens``.
    """
    streams = [
        PlannedStream(Draw(source, stream, 0, stream), lengths[stream])
        for source, lengths in enumerate(splits)
        for stream in range(len(lengths))
    ]
    return pack_rows(streams, row_tokens, world)


def pack_rows(streams: Sequence[PlannedStream], row_tokens: int, multiple: int = 1) -> list[Row]:
    """Rows of at most ``row_tokens`` and nearly equal length, fullest first.

    The longest stream goes to the emptiest row, over as few rows as will do (Graham, 1969: the
    fullest is at most a third longer than it has to be; with many streams, hardly at all).

    Args:
        multiple: their number is a multiple of this.

    Raises:
        ValueError: if a stream alone is longer than ``row_tokens``.
    """
    longest_first = sorted(streams, key=lambda s: -s.lengths.tokens)
    if longest_first and longest_first[0].lengths.tokens > row_tokens:
        raise ValueError(
            f"a stream of {longest_first[0].lengths.tokens} tokens exceeds row_tokens={row_tokens}"
        )
    total = sum(stream.lengths.tokens for stream in streams)
    n_rows = max(1, -(-total // (row_tokens * multiple))) * multiple
    while (rows := _even_rows(longest_first, n_rows, row_tokens)) is None:
        n_rows += multiple
    return rows


def _even_rows(
    longest_first: Sequence[PlannedStream], n_rows: int, row_tokens: int
) -> list[Row] | None:
    """None where a row would become too long."""
    rows: list[list[PlannedStream]] = [[] for _ in range(n_rows)]
    emptiest = [(0, number) for number in range(n_rows)]
    for stream in longest_first:
        tokens, number = emptiest[0]
        tokens += stream.lengths.tokens
        if tokens > row_tokens:
            return None
        heapq.heapreplace(emptiest, (tokens, number))
        rows[number].append(stream)
    fullest_first = sorted(emptiest, key=lambda row: (-row[0], row[1]))
    return [tuple(rows[number]) for _, number in fullest_first]


def _truncated(draw: Draw, whole: StreamLengths, seed: int, share: float) -> int:
    """Chunks up to a reply of the stream other than its last; all of them where it stays whole."""
    rng = draw.generator(seed, TRUNCATE)
    if len(whole.turns) < 2 or rng.random() >= share:
        return whole.chunks
    return whole.turns[int(rng.integers(len(whole.turns) - 1))].chunk + 1
