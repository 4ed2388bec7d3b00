"""How fast a run is: useful tokens, share of time spent waiting for data, MFU, time left.

::

    update u:   | wait for its rows | forward, backward, step | save, measure |   wait for u+1 ...
                ^ ready             ^ begin                   ^ done          ^ ready

Saving and measuring count as neither. The clock is read on the host only, at moments when the host
has just read the losses of the update, so it measures the device too and makes nothing wait.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from soundflow.data.batch import Batch
from soundflow.model.interaction import AudioInteractionModel

# Dense bf16 operations a second, accumulated in float32, of one GPU. The first name that is part of
# the device's name counts. Data sheets state most of them with sparsity, which doubles them: 1,979
# TFLOPS for H100 SXM and H200, 1,671 for H100 NVL and H200 NVL, 1,513 for H100 PCIe, 624 for A100,
# 733 for L40S, 330 for RTX 4090, 4,500 and 5,000 for B200 and each GPU of a GB200. The figures come
# from copies of the maker's data sheets by others; those of NVL, B200 and GB200 differ among them.
PEAK_BF16 = (
    ("GB200", 2500e12),
    ("B200", 2250e12),
    ("H200 NVL", 835e12),
    ("H200", 989e12),
    ("H100 PCIe", 756e12),
    ("H100 NVL", 835e12),
    ("H100", 989e12),
    ("A100", 312e12),
    ("L40S", 362e12),
    ("RTX 4090", 165e12),
)


def peak_flops(device: torch.device, dtype: torch.dtype) -> float | None:
    """Of a device that is in the table, in the number format that the table is about."""
    if device.type != "cuda" or dtype != torch.bfloat16:
        return None
    name = torch.cuda.get_device_name(device)
    if " MIG " in name:  # a part of a GPU
        return None
    return next((flops for part, flops in PEAK_BF16 if part in name), None)


@dataclass(frozen=True)
class FlopsPerToken:
    """Operations that training on a token needs, counted as in PaLM (Chowdhery et al., 2022, B).

    Two for each weight of the language model forward, two more for the gradient of what goes into
    it, and two for its own gradient where it trains; causal attention beside that. Recomputation,
    the embedding, the head (which runs at targets only) and the audio tower are left out, so the
    share of the peak is a lower bound.
    """

    per_token: float
    per_token_squared: float

    @staticmethod
    def of(model: AudioInteractionModel) -> FlopsPerToken:
        apart = ("embed_tokens", "lm_head")
        weights = [
            p for n, p in model.lm.named_parameters() if not any(part in n for part in apart)
        ]
        sizes = [(getattr(p, "ds_numel", p.numel()), p.requires_grad) for p in weights]  # ZeRO-3's
        whole = sum(size for size, _ in sizes)
        trained = sum(size for size, trains in sizes if trains)
        lm = model.config.lm
        return FlopsPerToken(4.0 * whole + 2.0 * trained, 6.0 * lm.layers * lm.width)

    def flops(self, lengths: Sequence[int]) -> float:
        """Of streams with these numbers of tokens."""
        return self.per_token * sum(lengths) + self.per_token_squared * sum(n * n for n in lengths)


class Meter:
    """Adds up what the updates since the last line of the metrics took."""

    def __init__(self, model: AudioInteractionModel) -> None:
        self._per_token = FlopsPerToken.of(model)
        self._ready = self._begun = time.perf_counter()
        self._clear()

    def _clear(self) -> None:
        self._totals = [0.0, 0.0, 0.0]
        self._seconds = 0.0
        self._updates = 0

    def ready(self) -> None:
        """This rank can take the next update."""
        self._ready = time.perf_counter()

    def begin(self) -> None:
        """The update is here."""
        self._begun = time.perf_counter()

    def own(self, batches: Sequence[Batch]) -> list[float]:
        """Of this rank's share of the update: tokens of streams, operations, seconds waited."""
        lengths = [n for batch in batches if batch.stream_ids for n in batch.lengths]
        return [float(sum(lengths)), self._per_token.flops(lengths), self._begun - self._ready]

    def done(self, totals: Sequence[float]) -> None:
        """The update is taken; ``totals`` are the numbers of `own` over all ranks."""
        self._totals = [a + b for a, b in zip(self._totals, totals, strict=True)]
        self._seconds += time.perf_counter() - self._ready
        self._updates += 1

    def figures(
        self, left: int, world: int, device: torch.device, dtype: torch.dtype
    ) -> dict[str, float]:
        """Figures of all ranks together, from the last call to this one.

        Args:
            left: updates that are still to come.
            dtype: of the products.
        """
        (tokens, flops, wait_s), seconds = self._totals, max(self._seconds, 1e-9)
        found = {
            "tokens_per_s": tokens / seconds,
            "data_wait": wait_s / world / seconds,
            "update_s": seconds / self._updates,
            "left_s": seconds / self._updates * left,
            "peak_memory_gb": peak_memory_gb(device),
        }
        peak = peak_flops(device, dtype)
        if peak is not None:
            found["mfu"] = flops / seconds / (peak * world)
        self._clear()
        return found


def peak_memory_gb(device: torch.device) -> float:
    """The most that this process has held so far: on its device, or on a CPU resident."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9
