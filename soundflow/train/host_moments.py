"""AdamW with its moments in host memory: a device then holds weights and gradients only.

::

    host     exp_avg, exp_avg_sq ─┐                           ┌─▶ exp_avg, exp_avg_sq
                                copy ─▶ fused AdamW step ─▶ copy
    device   weights, gradients ──────────────┘

A step goes over the parameters in pieces, each on one of a few streams: while one is copied to the
device, another is copied back. The arithmetic is torch's on the device, with the same bits.
DeepSpeed's and torchao's optimisers step on the CPU: that takes longer than the copies, gives other
bits, compiles on every node (DeepSpeed) or cannot clip the gradient (torchao).
"""

from __future__ import annotations

import mmap
import weakref
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import cycle
from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.optim import AdamW
from torch.optim.adamw import adamw

from soundflow.errors import UserError
from soundflow.train.fragments import MOMENTS

_PIECE = 1 << 23  # numbers of each moment: 32 MiB are copied at the rate of the bus
_STREAMS = 3  # one piece comes, one is stepped, one goes
STAGED_BYTES = _STREAMS * len(MOMENTS) * 4 * _PIECE


class HostMomentsAdamW(AdamW):
    """`torch.optim.AdamW` over float32 parameters; their moments are flat, in host memory."""

    def __init__(self, groups: list[dict[str, Any]], **settings: Any) -> None:
        super().__init__(groups, **settings)
        self._streams: list[_Stream] = []

    def start(self, parameters: Iterable[Tensor], updates: int) -> None:
        """Moments of zero for every parameter, as if ``updates`` updates had been taken.

        Raises:
            UserError: if the device cannot be given so much host memory.
        """
        parameters = list(parameters)
        sizes = [local(p).numel() for p in parameters for _ in MOMENTS]
        if not sizes:
            return
        moments = iter(torch.split(self._zeros(sum(sizes), parameters[0].device), sizes))
        for parameter in parameters:
            of_parameter = {kind: next(moments) for kind in MOMENTS}
            self.state[parameter] = {"step": torch.tensor(float(updates)), **of_parameter}

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update. When it returns, the moments are in host memory."""
        parameters = [p for g in self.param_groups for p in g["params"] if p.grad is not None]
        # DeepSpeed looks into the states of all parameters after it stepped some: an empty one is
        # of a parameter that was not stepped yet.
        self.start((p for p in parameters if not self.state[p]), 0)
        if not parameters:
            return
        if not self._streams:  # kept: torch does not give memory of one stream to another
            self._streams = [_Stream(parameters[0].device) for _ in range(_STREAMS)]
        for stream in self._streams:
            stream.begin()
        for piece, stream in zip(self._pieces(), cycle(self._streams), strict=False):
            stream.step(*piece)
        for stream in self._streams:
            stream.end()

    def _pieces(self) -> Iterator[tuple[Any, ...]]:
        """The arguments of `_Stream.step`."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                weights, gradients = local(parameter).view(-1), local(parameter.grad).view(-1)
                tensors = weights, gradients, *(state[kind] for kind in MOMENTS)
                for piece in zip(*(t.split(_PIECE) for t in tensors), strict=True):
                    yield group, float(state["step"]), *piece
                state["step"] += 1

    def _zeros(self, n: int, device: torch.device) -> Tensor:
        """(n,) in pages of their own, pinned for CUDA.

        torch's allocator of pinned memory would take a power of two, up to twice the bytes.
        """
        n_bytes = 4 * n
        try:
            pages = mmap.mmap(-1, n_bytes, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            with suppress(AttributeError, OSError):  # not on every system
                pages.madvise(mmap.MADV_HUGEPAGE)  # millions of small ones take long to pin
            numbers = torch.frombuffer(pages, dtype=torch.float32)
            if device.type == "cuda":
                place = numbers.data_ptr()
                cudart = torch.cuda.cudart()  # type: ignore[no-untyped-call]
                torch.cuda.check_error(cudart.cudaHostRegister(place, n_bytes, 0))
                weakref.finalize(self, cudart.cudaHostUnregister, place).atexit = False
        except (OSError, RuntimeError) as error:
            raise UserError(
                f"compute.offload_moments: {n_bytes / 2**30:.1f} GiB of host memory cannot be "
                f"pinned ({error})",
                "free host memory, or divide the moments over more devices (compute.strategy)",
            ) from error
        return numbers


class _Stream:
    """What one piece after another is stepped on: a stream of the device, with room for moments."""

    def __init__(self, device: torch.device) -> None:
        self._stream: torch.cuda.Stream | None = None
        if device.type == "cuda":
            self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        with torch.cuda.stream(self._stream):  # None: nowhere else
            self._room = torch.empty(len(MOMENTS), _PIECE, device=device)

    def begin(self) -> None:
        """After what the device was asked to do before."""
        if self._stream is not None:
            self._stream.wait_stream(torch.cuda.current_stream(self._room.device))

    def step(
        self, group: dict[str, Any], updates: float, weights: Tensor, gradients: Tensor,
        *moments: Tensor,
    ) -> None:  # fmt: skip
        """Of a run of a parameter that has taken so many ``updates``."""
        with torch.cuda.stream(self._stream):
            averages, squares = staged = [room[: len(weights)] for room in self._room]
            for there, here in zip(staged, moments, strict=True):
                there.copy_(here, non_blocking=True)
            beta_1, beta_2 = group["betas"]
            adamw(
                [weights], [gradients], [averages], [squares], [],
                [torch.full((), updates, device=weights.device)], foreach=False,
                fused=group["fused"], amsgrad=False, beta1=beta_1, beta2=beta_2, lr=group["lr"],
                weight_decay=group["weight_decay"], eps=group["eps"], maximize=False,
            )  # fmt: skip
            for there, here in zip(staged, moments, strict=True):
                here.copy_(there, non_blocking=True)

    def end(self) -> None:
        """Waits until it has done everything."""
        if self._stream is not None:
            self._stream.synchronize()


def local(tensor: Tensor) -> Tensor:
    """What this rank holds of it."""
    tensor = tensor.detach()
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor
