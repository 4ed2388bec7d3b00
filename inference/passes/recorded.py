"""A computation of fixed shapes as a CUDA graph: launched at once, not kernel by kernel."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

WARM_UPS = 3  # before a recording, so that libraries choose their kernels


class Recorded:
    """Records ``compute`` when it is made, and replays it when it is called.

    Args:
        compute: reads inputs that stay where they are, and asks the device nothing. What a call
            returns is overwritten by the next.
    """

    def __init__(self, compute: Callable[[], Tensor], device: torch.device) -> None:
        # Streams are made, and a recording begins, on the current device. On any other than the
        # one that computes, the recording would be empty.
        with torch.cuda.device(device):
            side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                for _ in range(WARM_UPS):
                    compute()
            torch.cuda.current_stream().wait_stream(side)
            self._graph = torch.cuda.CUDAGraph()
            # Other threads, such as NCCL's in a training run, may go on using the device. The
            # default stream of recordings belongs to the device of the first one.
            with torch.cuda.graph(self._graph, stream=side, capture_error_mode="thread_local"):
                self._result = compute()

    def __call__(self) -> Tensor:
        self._graph.replay()
        return self._result


# Nothing, where there is no CUDA to record on: ``lambda compute, device: compute``.
Record = Callable[[Callable[[], Tensor], torch.device], Callable[[], Tensor]]

RECORD_AFTER = 16  # uses: a short recording would pay for a graph and not get its time back


def rounded_up(n: int) -> int:
    """To 1, 4, 16, 32, 64, ...: more than is taken costs computation, a graph for each number
    memory.
    """
    return next((few for few in (1, 4, 16) if n <= few), 1 << (n - 1).bit_length())
