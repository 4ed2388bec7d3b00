"""Forward passes as CUDA graphs: launched at once, not kernel by kernel.

Nearly all passes append one of two shapes to a row: a listen block, or one token of a reply. For
each of them, and for a few numbers of rows, a pass is recorded once it is used often::

    place 0   ─▶ row 7   [prefix][block][block ▸ + + + +
    place 1   ─▶ row 2   [prefix][block ▸ + + + +
    place 2   ─▶ the spare row of the pool, where nobody reads

What has another shape (the first block after a reply, several blocks at once) goes through
`ragged_forward`, which gives the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from inference.kv_pool import KvPool, Segment
from inference.ragged_forward import Group, Pass, causal_mask, ragged_forward, run_layers
from soundflow.model.interaction import AudioInteractionModel

# A pass with more places than are taken costs computation, a graph for each number memory.
PLACES = (1, 4, 16, 32, 64, 128, 256)
# It looks at this many columns, or four times as many, and so on until those of the pool.
LEAST_COLUMNS = 512
RAGGED = 0  # in place of a shape
RECORD_AFTER = 16  # uses: a short recording would pay for a graph and not get its time back
WARM_UPS = 3  # passes before a recording, so that libraries choose their kernels


class StaticStep:
    """A pass that appends ``n`` tokens each to up to ``places`` rows of a pool, and reads the last
    of them.

    Its inputs stay where they are, so that it can be recorded.

    Args:
        pool: with a spare row.
        end: columns that it looks at: the rows must not be longer.
    """

    def __init__(
        self, model: AudioInteractionModel, pool: KvPool, places: int, n: int, end: int
    ) -> None:
        weight = model.lm.model.embed_tokens.weight
        self._model, self._pool, self._n, self._end = model, pool, n, end
        self.device = weight.device
        self._embeds = weight.new_zeros(places, n, weight.shape[1])
        # The row of each place and where it goes on.
        self._where = torch.zeros(2, places, dtype=torch.int64, device=weight.device)
        self._where[0] = pool.rows
        self._offsets = torch.arange(n, device=weight.device)
        self._chosen = torch.arange(n - 1, places * n, n, device=weight.device)

    def compute(self) -> Tensor:
        """(places, d) from what lies in its inputs."""
        places, n = self._embeds.shape[:2]
        rows, starts = self._where
        positions = starts[:, None] + self._offsets
        lm = self._model.config.lm
        sharing = lm.heads // lm.kv_heads
        mask = causal_mask(positions, self._end, self._embeds.dtype, sharing)
        newest_mask = causal_mask(positions[:, -1:], self._end, self._embeds.dtype, sharing)
        everyone = Group(rows, places, n, self._end, mask, places * n)
        newest = Group(rows, places, 1, self._end, newest_mask, places)
        of_tokens = rows.repeat_interleave(n, output_size=places * n)
        what = Pass(of_tokens, positions.flatten(), [everyone], self._chosen, [newest])
        return run_layers(self._model, self._pool, self._embeds.flatten(0, 1), what)

    def __call__(self, embeds: Tensor, segments: Sequence[Segment]) -> Tensor:
        """(k * n, d), the segments one after another -> (k, d), of the last token of each."""
        self.place(embeds, segments)
        return self.compute()[: len(segments)]

    def place(self, embeds: Tensor, segments: Sequence[Segment]) -> None:
        """Lays embeddings (k * n, d) into its inputs."""
        k, spare = len(segments), self._pool.rows
        where = torch.zeros(2, len(self._embeds), dtype=torch.int64)
        where[0] = spare
        where[:, :k] = torch.tensor([[s.row for s in segments], [s.start for s in segments]])
        self._where.copy_(where, non_blocking=True)
        self._embeds[:k] = embeds.view(k, self._n, -1)
        # NaN of a failed session must not stay in the spare row.
        self._embeds[k:] = 0.0


class RecordedStep:
    """The same as a CUDA graph, recorded when it is made."""

    def __init__(self, step: StaticStep) -> None:
        self._step = step
        # Streams are made, and a recording begins, on the current device. On any other than the
        # one that computes, the recording would be empty.
        with torch.cuda.device(step.device):
            side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                for _ in range(WARM_UPS):
                    step.compute()
            torch.cuda.current_stream().wait_stream(side)
            self._graph = torch.cuda.CUDAGraph()
            # Other threads, such as NCCL's in a training run, may go on using the device. The
            # default stream of recordings belongs to the device of the first one.
            with torch.cuda.graph(self._graph, stream=side, capture_error_mode="thread_local"):
                self._hidden = step.compute()

    def __call__(self, embeds: Tensor, segments: Sequence[Segment]) -> Tensor:
        """As `StaticStep`."""
        self._step.place(embeds, segments)
        self._graph.replay()
        return self._hidden[: len(segments)].clone()


class StepGraphs:
    """`ragged_forward` for one pool, through graphs where they fit.

    Args:
        sizes: tokens of the shapes to record.
        record: what is done to a step: nothing, where there is no CUDA to record it.
        record_after: uses of a step until then.
    """

    def __init__(
        self,
        model: AudioInteractionModel,
        pool: KvPool,
        sizes: Sequence[int],
        record: Callable[[StaticStep], StaticStep | RecordedStep] = RecordedStep,
        record_after: int = RECORD_AFTER,
    ) -> None:
        self._model, self._pool, self._sizes = model, pool, sizes
        self._record, self._record_after = record, record_after
        self._used = Counter[tuple[int, int, int]]()
        self._steps: dict[tuple[int, int, int], StaticStep | RecordedStep] = {}

    @property
    def recorded(self) -> int:
        """How many steps are graphs by now."""
        return len(self._steps)

    def __call__(self, embeds: Tensor, segments: Sequence[Segment], read: Sequence[int]) -> Tensor:
        """(N, d) -> (len(read), d)"""
        device, wanted = embeds.device, np.array(read, np.int64)
        sizes = np.array([s.end - s.start for s in segments])
        ends = np.cumsum(sizes)
        owners = np.searchsorted(ends, wanted, side="right")
        reads = np.bincount(owners, minlength=len(segments))
        fits = np.isin(sizes, self._sizes) & (reads == 1) & np.isin(ends - 1, wanted)
        shapes = np.where(fits, sizes, RAGGED)
        parts: list[Tensor] = []
        order: list[int] = []
        for shape in np.unique(shapes).tolist():
            members = np.flatnonzero(shapes == shape).tolist()
            lines = np.concatenate([np.arange(ends[i] - sizes[i], ends[i]) for i in members])
            part = embeds[torch.from_numpy(lines).to(device, non_blocking=True)]
            those = [segments[i] for i in members]
            theirs = np.flatnonzero(np.isin(owners, members))
            order += theirs.tolist()
            step = None if shape == RAGGED else self._step(shape, those)
            if step is None:
                at = np.searchsorted(lines, wanted[theirs]).tolist()
                parts.append(ragged_forward(self._model, self._pool, part, those, at))
            else:
                parts.append(step(part, those))
        back = torch.from_numpy(np.argsort(order)).to(device, non_blocking=True)
        return torch.cat(parts)[back]

    def _step(self, n: int, segments: Sequence[Segment]) -> StaticStep | RecordedStep | None:
        """The step with the fewest places and columns that these segments fit into; None while it
        is seldom used."""
        places = next((k for k in PLACES if k >= len(segments)), None)
        if places is None:
            return None
        end, longest = LEAST_COLUMNS, max(s.end for s in segments)
        while end < longest:
            end *= 4
        shape = (n, places, min(end, self._pool.columns))
        self._used[shape] += 1
        if self._used[shape] <= self._record_after:
            return None
        if shape not in self._steps:
            step = StaticStep(self._model, self._pool, places, n, shape[2])
            self._steps[shape] = self._record(step)
        return self._steps[shape]
