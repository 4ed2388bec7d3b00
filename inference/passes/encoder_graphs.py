"""Encoder batches as CUDA graphs: those of a few sizes that live sessions fill again and again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from inference.engine import Engine
from inference.passes.recorded import RECORD_AFTER, Record, rounded_up

Float32 = npt.NDArray[np.float32]

MOST_CHUNKS = 64  # of one graph: larger batches keep a device busy as they are


class _StaticBatch:
    """A batch whose input stays where it is."""

    def __init__(self, engine: Engine, mels: Float32, chunks: int, record: Record) -> None:
        device = engine.model.device
        self._mels = torch.zeros(chunks, *mels.shape[1:], device=device)
        self._compute: Callable[[], Tensor] = record(lambda: engine.model.encode(self._mels))

    def __call__(self, mels: Float32) -> Tensor:
        self._mels[: len(mels)].copy_(torch.from_numpy(mels), non_blocking=True)
        return self._compute()[: len(mels)].clone()


class EncoderGraphs:
    """`Engine.encode`, through graphs where they fit.

    Args:
        record: what is done to a computation.
        record_after: uses of a size until then.
    """

    def __init__(self, engine: Engine, record: Record, record_after: int = RECORD_AFTER) -> None:
        self._engine = engine
        self._record, self._record_after = record, record_after
        self._used = Counter[int]()
        self._batches: dict[int, _StaticBatch] = {}

    @torch.inference_mode()
    def __call__(self, mels: Float32) -> Tensor:
        """Chunks (n, n_mels, frames) of any sessions -> (n, slots, d)."""
        size = rounded_up(len(mels))
        self._used[size] += 1
        if size > MOST_CHUNKS or self._used[size] <= self._record_after:
            return self._engine.encode(mels)
        if size not in self._batches:
            self._batches[size] = _StaticBatch(self._engine, mels, size, self._record)
        return self._batches[size](mels)
