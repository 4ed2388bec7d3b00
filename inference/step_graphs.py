"""Forward passes as CUDA graphs: launched at once, not kernel by kernel.

Nearly all passes append one of two shapes to a row: a listen block, or one token of a reply. For
each of them, and for a few numbers of rows, the pass over the first rows of the pool is recorded
once it is used often::

    row 0   [prefix][block][block ▸ + + + +              takes part
    row 1   [prefix][block ▸                    + + + +  does not: it writes to the spare columns
    row 2   [prefix][block][block][block ▸ + + + +

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

# A pass over more rows than take part costs computation, a graph for each number memory.
ROWS = (1, 4, 16, 64, 256)
RAGGED = 0  # in place of a shape
RECORD_AFTER = 16  # uses: a short recording would pay for a graph and not get its time back
WARM_UPS = 3  # passes before a recording, so that libraries choose their kernels


class StaticStep:
    """A pass that appends ``n`` tokens to the first rows of a pool, and reads the last of them.

    Its inputs stay where they are, so that it can be recorded.

    Args:
        n: at most the pool's spare columns.
    """

    def __init__(self, model: AudioInteractionModel, pool: KvPool, rows: int, n: int) -> None:
        weight = model.lm.model.embed_tokens.weight
        self._model, self._pool, self._n = model, pool, n
        self.device = weight.device
        self._embeds = weight.new_zeros(rows, n, weight.shape[1])
        self._starts = torch.full((rows,), pool.columns, device=weight.device)
        self._offsets = torch.arange(n, device=weight.device)
        self._rows = torch.arange(rows, device=weight.device).repeat_interleave(n)
        self._chosen = torch.arange(n - 1, rows * n, n, device=weight.device)

    def compute(self) -> Tensor:
        """(rows, d) from what lies in its inputs."""
        rows, n = self._embeds.shape[:2]
        positions = self._starts[:, None] + self._offsets
        end = self._pool.columns + self._pool.spare
        mask = causal_mask(positions, end, self._embeds.dtype)
        everyone = Group(0, n, rows, rows * end, end, mask)
        newest = Group(0, 1, rows, rows * end, end, mask[:, :, -1:])
        what = Pass(self._rows, positions.flatten(), [everyone], self._chosen, [newest])
        return run_layers(self._model, self._pool, self._embeds.flatten(0, 1), what)

    def __call__(self, embeds: Tensor, segments: Sequence[Segment]) -> Tensor:
        """(k * n, d), the segments one after another -> (k, d), of the last token of each."""
        rows = self.place(embeds, segments)
        return self.compute()[rows]

    def place(self, embeds: Tensor, segments: Sequence[Segment]) -> Tensor:
        """Lays embeddings (k * n, d) into its inputs; returns the rows (k,) where they are."""
        device = embeds.device
        rows = torch.tensor([s.row for s in segments]).to(device, non_blocking=True)
        starts = torch.tensor([s.start for s in segments]).to(device, non_blocking=True)
        # Zeros elsewhere: NaN of a failed session must not stay in the spare columns of its row.
        self._embeds.zero_()
        self._embeds[rows] = embeds.view(len(segments), self._n, -1)
        self._starts.fill_(self._pool.columns)
        self._starts[rows] = starts
        return rows


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
        rows = self._step.place(embeds, segments)
        self._graph.replay()
        return self._hidden[rows]


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
        self._used = Counter[tuple[int, int]]()
        self._steps: dict[tuple[int, int], StaticStep | RecordedStep] = {}

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
        """The step over the fewest rows that hold these segments; None while it is seldom used."""
        needed = 1 + max(s.row for s in segments)
        rows = min(self._pool.rows, next((r for r in ROWS if r >= needed), self._pool.rows))
        self._used[n, rows] += 1
        if self._used[n, rows] <= self._record_after:
            return None
        if (n, rows) not in self._steps:
            step = StaticStep(self._model, self._pool, rows, n)
            self._steps[n, rows] = self._record(step)
        return self._steps[n, rows]
