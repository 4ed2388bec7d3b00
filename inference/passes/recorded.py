"""Computations of fixed shapes as CUDA graphs: launched at once, not kernel by kernel."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

# Nothing, where there is no CUDA to record on: ``lambda compute: compute``.
Record = Callable[[Callable[[], Tensor]], Callable[[], Tensor]]


class Recorder:
    """Records computations that are replayed one after another, in the same memory.

    Args:
        device: computes.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        # Streams are made, and a recording begins, on the current device. On any other than the
        # one that computes, the recording would be empty.
        with torch.cuda.device(device):
            self._side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            self._memory = torch.cuda.graph_pool_handle()

    def __call__(self, compute: Callable[[], Tensor]) -> Callable[[], Tensor]:
        """``compute`` as a graph.

        Args:
            compute: reads inputs that stay where they are, and asks the device nothing. It runs
                once before the recording, so that libraries load what they need.

        Returns:
            Replays it. What it returns is overwritten when any of these graphs is replayed.
        """
        with torch.cuda.device(self._device):
            self._side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self._side):
                compute()
            torch.cuda.current_stream().wait_stream(self._side)
            graph = torch.cuda.CUDAGraph()
            # Other threads, such as NCCL's in a training run, may go on using the device. The
            # default stream of recordings belongs to the device of the first one.
            with torch.cuda.graph(
                graph, self._memory, self._side, capture_error_mode="thread_local"
            ):
                result = compute()

        def replay() -> Tensor:
            graph.replay()
            return result

        return replay


def rounded_up(n: int) -> int:
    """To 1, 4, 16, 32, 64, ...: more than is taken costs computation, a graph for each number
    memory.
    """
    return next((few for few in (1, 4, 16) if n <= few), 1 << (n - 1).bit_length())


def rounded_sizes(least: int, most: int) -> Iterator[int]:
    """What `rounded_up` makes of the numbers from ``least`` to ``most``."""
    size = rounded_up(least)
    yield size
    while size < most:
        size = rounded_up(size + 1)
        yield size
