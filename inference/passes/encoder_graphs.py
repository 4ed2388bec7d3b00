"""Encoder batches as CUDA graphs: each is laid into the smallest of a few sizes that holds it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from inference.engine import Engine
from inference.passes.recorded import Record, rounded_sizes, rounded_up

Float32 = npt.NDArray[np.float32]

MOST_CHUNKS = 64  # of one graph: larger batches keep a device busy as they are


class _StaticBatch:
    """A batch whose input stays where it is."""

    def __init__(self, engine: Engine, chunks: int, record: Record) -> None:
        spec = engine.spec
        shape = (chunks, spec.front_end.n_mels, spec.time.frames_per_chunk)
        self._mels = torch.zeros(shape, device=engine.model.device)
        self._compute: Callable[[], Tensor] = record(lambda: engine.model.encode(self._mels))

    def __call__(self, mels: Float32) -> Tensor:
        self._mels[: len(mels)].copy_(torch.from_numpy(mels), non_blocking=True)
        return self._compute()[: len(mels)].clone()


class EncoderGraphs:
    """`Engine.encode`, through graphs where they fit.

    Args:
        record: what is done to a computation of each size.
    """

    def __init__(self, engine: Engine, record: Record) -> None:
        self._engine, self._record = engine, record
        self._batches: dict[int, _StaticBatch] = {}

    @torch.inference_mode()
    def __call__(self, mels: Float32) -> Tensor:
        """Chunks (n, n_mels, frames) of any sessions -> (n, slots, d)."""
        size = rounded_up(len(mels))
        if size > MOST_CHUNKS:
            return self._engine.encode(mels)
        return self._recorded(size)(mels)

    def record_all(self, chunks: int) -> None:
        """Records batches of up to so many chunks."""
        for size in rounded_sizes(1, min(chunks, MOST_CHUNKS)):
            self._recorded(size)

    def _recorded(self, size: int) -> _StaticBatch:
        if size not in self._batches:
            self._batches[size] = _StaticBatch(self._engine, size, self._record)
        return self._batches[size]
