"""Forward passes as CUDA graphs: launched at once, not kernel by kernel.

A graph has a fixed shape, and what sessions compute has not. So a pass is laid into the smallest
shape that holds it, whose graph is recorded when it is first used. What is between two decisions,
a block or a token, is a *part*; each has a place, which says what it looks at::

    line       [a a a a a a a][b][c c c c c c c|c c c c c c c] + + + +     padded
    place 0    a ─▶ row 7   [prefix][block][block ▸ a a a a a a a
    place 1    b ─▶ row 2   [prefix][block ▸ reply ▸ b
    place 2    c ─▶ row 4   [prefix][block ▸ c c c c c c c                 two chunks after a reply:
    place 3    c ─▶ row 4   [prefix][block ▸ c c c c c c c c c c c c c c   the first is seen by both
    place 4    + ─▶ the spare row of the pool, where nobody reads

What has longer parts (an instruction, a memory that is read anew) goes through `ragged_forward`,
which gives the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from inference.passes.kv_pool import KvPool, Segment
from inference.passes.ragged_forward import Group, Pass, causal_mask, ragged_forward, run_layers
from inference.passes.recorded import Record, rounded_sizes, rounded_up
from soundflow.model.interaction import AudioInteractionModel

Int64 = npt.NDArray[np.int64]

MOST_PARTS = 256  # of one pass
LEAST_COLUMNS = 512  # that a pass looks at


@dataclass(frozen=True)
class Shape:
    """Tokens of the line; places, and queries of each; columns that they look at."""

    tokens: int
    places: int
    queries: int
    end: int


@dataclass(frozen=True)
class Parts:
    """The parts of a pass in order, each a row of the pool, its first position, and its tokens.

    All (n,) int64.
    """

    rows: Int64
    starts: Int64
    sizes: Int64

    def __len__(self) -> int:
        return len(self.rows)

    def some(self, which: slice) -> Parts:
        return Parts(self.rows[which], self.starts[which], self.sizes[which])


NOBODY = Parts(*np.zeros((3, 0), np.int64))


class StaticStep:
    """A pass of one shape, which appends its parts and reads the last token of each.

    Its inputs stay where they are, so that it can be recorded.

    Args:
        pool: with a spare row.
        record: what is done to the computation.
    """

    def __init__(
        self, model: AudioInteractionModel, pool: KvPool, shape: Shape, record: Record
    ) -> None:
        weight = model.lm.model.embed_tokens.weight
        self.shape, self._model, self._pool = shape, model, pool
        self._embeds = weight.new_zeros(shape.tokens, weight.shape[1])
        queries = shape.places * shape.queries
        self._sizes = [shape.tokens] * 3 + [queries] + [shape.places] * 2
        self._numbers = torch.zeros(sum(self._sizes), dtype=torch.int64, device=weight.device)
        self.place(self._embeds[:0], NOBODY)  # a recording computes before the first pass is placed
        self._replay: Callable[[], Tensor] = record(self.compute)

    def compute(self) -> Tensor:
        """(places, d) from what lies in its inputs."""
        shape, lm = self.shape, self._model.config.lm
        numbers: Sequence[Tensor] = self._numbers.split(self._sizes)  # type: ignore[no-untyped-call]
        rows, positions, of_token, of_query, rows_of_places, newest = numbers
        sharing, dtype = lm.heads // lm.kv_heads, self._embeds.dtype
        seen = positions[of_query].view(shape.places, shape.queries)
        mask = causal_mask(seen, shape.end, dtype, sharing)
        padding = (of_query, of_token) if shape.queries > 1 else ()
        everyone = Group(
            rows_of_places, shape.places, shape.queries, shape.end, mask, shape.tokens, *padding
        )
        newest_mask = causal_mask(positions[newest][:, None], shape.end, dtype, sharing)
        last = Group(rows_of_places, shape.places, 1, shape.end, newest_mask, shape.places)
        what = Pass(rows, positions, [everyone], newest, [last])
        return run_layers(self._model, self._pool, self._embeds, what)

    def __call__(self, embeds: Tensor, parts: Parts) -> Tensor:
        """(N, d), the parts one after another -> (parts, d), of the last token of each."""
        self.place(embeds, parts)
        return self._replay()[: len(parts)].clone()

    def place(self, embeds: Tensor, parts: Parts) -> None:
        """Lays a pass into its inputs."""
        shape, spare, n = self.shape, self._pool.rows, len(parts)
        ends, n_tokens = np.cumsum(parts.sizes), len(embeds)
        firsts = ends - parts.sizes
        owners = np.repeat(np.arange(n), parts.sizes)
        offsets = np.arange(n_tokens) - firsts[owners]
        rows = np.full(shape.tokens, spare)
        rows[:n_tokens] = parts.rows[owners]
        positions, of_token = np.zeros((2, shape.tokens), np.int64)
        positions[:n_tokens] = parts.starts[owners] + offsets
        of_token[:n_tokens] = owners * shape.queries + offsets
        of_query = np.zeros(shape.places * shape.queries, np.int64)
        of_query[of_token[:n_tokens]] = np.arange(n_tokens)
        rows_of_places, newest = np.full(shape.places, spare), np.zeros(shape.places, np.int64)
        rows_of_places[:n], newest[:n] = parts.rows, ends - 1
        numbers = (rows, positions, of_token, of_query, rows_of_places, newest)
        self._numbers.copy_(torch.from_numpy(np.concatenate(numbers)), non_blocking=True)
        self._embeds[:n_tokens] = embeds
        # NaN of a failed session must not stay in the spare row.
        self._embeds[n_tokens:] = 0.0


class StepGraphs:
    """`ragged_forward` for one pool, through graphs where they fit.

    Args:
        longest: tokens of a part that fits.
        record: what is done to the computation of each shape.
    """

    def __init__(
        self, model: AudioInteractionModel, pool: KvPool, longest: int, record: Record
    ) -> None:
        self._model, self._pool, self._longest, self._record = model, pool, longest, record
        self._ends = tuple(_ends(pool.columns))
        self._steps: dict[Shape, StaticStep] = {}

    def __call__(self, embeds: Tensor, segments: Sequence[Segment], read: Sequence[int]) -> Tensor:
        """(N, d) -> (len(read), d)"""
        parts = _parts(segments, read)
        if parts is None or parts.sizes.max() > self._longest:
            return ragged_forward(self._model, self._pool, embeds, segments, read)
        found, at = [], 0
        for first in range(0, len(parts), MOST_PARTS):
            some = parts.some(slice(first, first + MOST_PARTS))
            begin, at = at, at + int(some.sizes.sum())
            found.append(self._step(some)(embeds[begin:at], some))
        return found[0] if len(found) == 1 else torch.cat(found)

    def record_all(self, sessions: int, blocks: int) -> None:
        """Records the passes of up to so many sessions that each have one part in it, of which so
        many may be blocks.
        """
        for end in self._ends:
            fewest = 1  # parts that take so many places
            for places in rounded_sizes(1, min(sessions, MOST_PARTS)):
                self._recorded(Shape(places, places, 1, end))
                most = places + min(places, blocks) * (self._longest - 1)
                for tokens in rounded_sizes(fewest + 1, most):
                    self._recorded(Shape(tokens, places, self._longest, end))
                fewest = places + 1

    def _step(self, parts: Parts) -> StaticStep:
        """That of the smallest shape that holds these parts."""
        queries = 1 if parts.sizes.max() == 1 else self._longest
        longest = (parts.starts + parts.sizes).max()
        end = next(end for end in self._ends if end >= longest)
        tokens = rounded_up(int(parts.sizes.sum()))
        return self._recorded(Shape(tokens, rounded_up(len(parts)), queries, end))

    def _recorded(self, shape: Shape) -> StaticStep:
        if shape not in self._steps:
            self._steps[shape] = StaticStep(self._model, self._pool, shape, self._record)
        return self._steps[shape]


def _ends(columns: int) -> Iterator[int]:
    """How many columns a pass may look at: few, four times as many, and so on, or all."""
    end = LEAST_COLUMNS
    while end < columns:
        yield end
        end *= 4
    yield columns


def _parts(segments: Sequence[Segment], read: Sequence[int]) -> Parts | None:
    """The segments, cut behind every token that is read; None if one ends in any other."""
    sizes = np.array([s.end - s.start for s in segments])
    ends, cuts = np.cumsum(sizes), np.array(read, np.int64) + 1
    owners = np.searchsorted(ends, cuts)
    last_of_owner = np.flatnonzero(np.diff(owners, append=len(segments)))
    if not np.array_equal(cuts[last_of_owner], ends):
        return None
    firsts = np.concatenate(([0], cuts[:-1]))
    rows, starts = np.array([(s.row, s.start) for s in segments])[owners].T
    return Parts(rows, starts + firsts - (ends - sizes)[owners], cuts - firsts)
