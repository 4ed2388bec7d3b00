"""The memory that one forward and backward pass takes, without holding it.

The training code itself runs, with tensors that have shapes and no numbers (torch's
FakeTensorMode), and every storage it makes is counted until it is freed. Packing, frozen parts,
adapters and the pieces of the head are in it as they are. A torch without CUDA has fake tensors of
a CPU only, so for a GPU its kernels stand in for those that keep as much.

An allocator keeps some of what was freed in pieces too small to use again. `KEPT` is how much more
than their bytes tensors take for that: on a CPU as `tests/benchmarks/bench_memory.py` measures it,
and only those up to 32 MiB. glibc maps larger ones by themselves and gives them back whole.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.checkpoint import checkpoint

from soundflow.data.batch import Batch
from soundflow.data.plan import Row
from soundflow.model.interaction import AudioInteractionModel
from soundflow.model.weights import cast_parameters
from soundflow.protocol.spec import StreamSpec
from soundflow.train.compute import computing
from soundflow.train.loss import loss_sums

Device = Literal["cpu", "cuda"]
KEPT = {"cpu": 1.5, "cuda": 1.1}
_MAPPED_BYTES = {"cpu": 32 << 20, "cuda": None}  # glibc's DEFAULT_MMAP_THRESHOLD_MAX


@dataclass(frozen=True)
class RowShape:
    """What of a packed row decides how much memory its pass takes.

    Attributes:
        lengths: of its streams, in tokens.
    """

    lengths: tuple[int, ...]
    chunks: int
    targets: int

    @staticmethod
    def of(row: Row) -> RowShape:
        lengths = [planned.lengths for planned in row]
        return RowShape(
            tuple(one.tokens for one in lengths) or (1,),
            sum(one.chunks for one in lengths),
            sum(one.decisions + one.reply_tokens for one in lengths),
        )


def pass_bytes(
    model: AudioInteractionModel,
    row: RowShape,
    spec: StreamSpec,
    states_width: int | None,
    dtype: torch.dtype,
    device: Device,
    compiled: bool,
) -> int:
    """The peak of a pass over one row, beyond weights and gradients.

    Args:
        model: on the meta device; is used up.
        states_width: see `row_batch`.
        dtype: of autocast, where it is not float32.
        device: whose allocator it is.
        compiled: whether the layers of the language model are.
    """
    with FakeTensorMode():
        _without_numbers(model)
        if compiled:
            _keep_as_if_compiled(model, dtype)
        trained = [p for p in model.parameters() if p.requires_grad]
        for parameter in trained:
            parameter.grad = torch.empty_like(parameter)
        batch = row_batch(row, spec, states_width)
        gradients = [parameter.grad for parameter in trained]
        there = [*model.parameters(), *model.buffers(), *gradients, *vars(batch).values()]
        peak = _Peak(there, device)
        with peak:
            with computing(dtype, torch.device("cpu")):
                sums = loss_sums(model, batch)
                loss = sums.stream + sums.reply
            torch.autograd.backward(loss)
    return peak.bytes


def row_batch(row: RowShape, spec: StreamSpec, states_width: int | None = None) -> Batch:
    """A row of that shape; its numbers are of no importance.

    Args:
        states_width: of what the tower made of its chunks; None: the row has their log-mel.
    """
    n_tokens, time = sum(row.lengths), spec.time
    live = states_width is None
    states = torch.zeros(row.chunks, time.slots_per_chunk, states_width or 0, dtype=torch.bfloat16)

    def ids(n: int) -> Tensor:
        return torch.zeros(n, dtype=torch.int64)

    return Batch(
        ids=ids(n_tokens),
        positions=ids(n_tokens),
        starts=torch.zeros(len(row.lengths) + 1, dtype=torch.int32),
        lengths=row.lengths,
        slots=ids(row.chunks * time.slots_per_chunk),
        mel=torch.zeros(row.chunks if live else 0, spec.front_end.n_mels, time.frames_per_chunk),
        at=ids(row.targets),
        targets=ids(row.targets),
        decisions=row.targets,
        stream_ids=(),
        states=None if live else states,
    )


def _without_numbers(model: nn.Module) -> None:
    """Gives every tensor of a model on the meta device a fake one on the CPU; shared ones stay so.

    To be called under FakeTensorMode.
    """
    made: dict[int, nn.Parameter] = {}
    for module in model.modules():
        for name, parameter in list(module._parameters.items()):
            if parameter is None:
                continue
            if id(parameter) not in made:
                empty = torch.empty(parameter.shape, dtype=parameter.dtype)
                made[id(parameter)] = nn.Parameter(empty, requires_grad=parameter.requires_grad)
            module._parameters[name] = made[id(parameter)]
        for name, buffer in list(module._buffers.items()):
            if buffer is not None:
                module._buffers[name] = torch.empty(buffer.shape, dtype=buffer.dtype)


def _keep_as_if_compiled(model: AudioInteractionModel, dtype: torch.dtype) -> None:
    """Has layers keep for the backward pass what compiled ones do: what enters matrix products.

    What lies between two of them is computed again from what entered it, weights are cast again.
    """

    def kept_alone(compute: Callable[..., Tensor]) -> Callable[..., Tensor]:
        return partial(checkpoint, compute, use_reentrant=False)

    for layer in model.lm.model.layers:
        cast_parameters(layer, dtype)
        for norm in (layer.input_layernorm, layer.post_attention_layernorm):
            norm.forward = kept_alone(norm.forward)
        layer.mlp.forward = partial(_mlp, layer.mlp, kept_alone)


def _mlp(mlp: Any, kept_alone: Callable[..., Callable[..., Tensor]], x: Tensor) -> Tensor:
    """Qwen2MLP."""
    product = kept_alone(lambda gate, up: mlp.act_fn(gate) * up)
    out: Tensor = mlp.down_proj(product(mlp.gate_proj(x), mlp.up_proj(x)))
    return out


class _Peak(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the storages that operations make inside the block, each until it is freed.

    Args:
        held: tensors that were there before, or count elsewhere.
        device: whose allocator it is.

    Attributes:
        bytes: the most that lived at one time, with what the allocator keeps.
    """

    def __init__(self, held: Iterable[object], device: Device) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._known = {
            id(t.untyped_storage()) for t in held if isinstance(t, Tensor)
        }  # alive as long as the block is
        self._kept, self._mapped_bytes = KEPT[device], _MAPPED_BYTES[device]
        self._live = 0
        self.bytes = 0

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, Tensor):
                self._count(tensor.untyped_storage())
        return out

    def _count(self, storage: torch.UntypedStorage) -> None:
        key, n_bytes = id(storage), storage.nbytes()
        if self._mapped_bytes is None or n_bytes <= self._mapped_bytes:
            n_bytes = int(self._kept * n_bytes)
        if key in self._known:
            return
        self._known.add(key)
        self._live += n_bytes
        self.bytes = max(self.bytes, self._live)

        def freed() -> None:
            self._known.discard(key)
            self._live -= n_bytes

        weakref.finalize(storage, freed)
