"""How much memory a rank of a run will take at its peak, before anything is started.

::

    peak  =  weights  +  gradients  +  moments  +  pass  +  features

    weights     4 bytes a parameter                       / ranks with zero3, fsdp
    gradients   4 bytes a trained parameter               / ranks with zero2, zero3, fsdp
    moments     8 bytes a trained parameter (AdamW)       / ranks with zero1, zero2, zero3, fsdp
    masters     4 bytes a trained parameter / ranks: the copy that ZeRO steps
    pass        the peak of one forward and backward pass over the largest row, beyond the above
    features    the log-mel of an update's chunks, twice: one update is loaded while another trains

``pass`` is not a formula: the training code itself runs, with tensors that have shapes and no
numbers (torch's FakeTensorMode), and every storage it makes is counted until it is freed. Packing,
frozen parts, adapters, the pieces of the head and the attention kernel are in it as they are.

An allocator keeps some of what was freed in pieces too small to use again. `KEPT` is how much more
than the count a pass takes for that: on a CPU as `tests/benchmarks/bench_memory.py` measures it.
Not in it is what the process held before, libraries above all (about 0.6 GiB).
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from soundflow.data.batch import Batch
from soundflow.data.plan import Row
from soundflow.model.config import ModelConfig
from soundflow.model.interaction import AudioInteractionModel
from soundflow.protocol.spec import StreamSpec
from soundflow.train.compute import computing
from soundflow.train.loss import loss_sums
from soundflow.train.stages import StageConfig, apply_stage, trained_parameters

FP32_BYTES = 4
KEPT = {"cpu": 1.5, "cuda": 1.1}
_DIVIDED: dict[str, frozenset[str]] = {
    "weights": frozenset({"zero3", "fsdp"}),
    "gradients": frozenset({"zero2", "zero3", "fsdp"}),
    "moments": frozenset({"zero1", "zero2", "zero3", "fsdp"}),
}


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


@dataclass(frozen=True)
class Memory:
    """Bytes of one rank at the peak of an update; see the module."""

    trained: int
    parameters: int
    weights: int
    gradients: int
    moments: int
    masters: int
    forward_backward: int
    features: int

    @property
    def peak(self) -> int:
        held = self.weights + self.gradients + self.moments + self.masters
        return held + self.forward_backward + self.features


def predict(
    config: ModelConfig,
    spec: StreamSpec,
    stage: StageConfig,
    row: RowShape,
    *,
    dtype: torch.dtype = torch.float32,
    recompute: bool = False,
    strategy: str = "single",
    world: int = 1,
    update_chunks: int = 0,
    device: Literal["cpu", "cuda"] = "cpu",
) -> Memory:
    """The memory of a rank that trains ``stage`` of a model on rows like ``row``.

    Args:
        dtype: bfloat16 is autocast over float32 weights.
        recompute: see `compute.activation_checkpointing`.
        strategy: as `compute.strategy` resolves to.
        update_chunks: chunks of one rank's rows of an update.
        device: whose allocator it is; the pass itself is counted with the kernels of a CPU.
    """
    with FakeTensorMode():
        model = AudioInteractionModel(config, spec.tokens).train()
        if recompute:
            model.recompute_activations()
        apply_stage(model, stage)
        parameters, trained = model.parameter_count(), trained_parameters(model)
        gradients = []
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.grad = torch.empty_like(parameter)
                gradients.append(parameter.grad)
        batch = row_batch(row, spec)
        held = [*model.parameters(), *model.buffers(), *gradients, *vars(batch).values()]
        with _Peak(held) as peak:
            with computing(dtype, torch.device("cpu")):
                sums = loss_sums(model, batch)
                loss = sums.stream + sums.reply
            torch.autograd.backward(loss)
        forward_backward = peak.bytes

    def of_rank(what: str, n_bytes: int) -> int:
        return n_bytes // world if strategy in _DIVIDED[what] else n_bytes

    chunk_bytes = spec.front_end.n_mels * spec.time.frames_per_chunk * FP32_BYTES
    zero = strategy.startswith("zero")
    return Memory(
        trained=trained,
        parameters=parameters,
        weights=of_rank("weights", FP32_BYTES * parameters),
        gradients=of_rank("gradients", FP32_BYTES * trained),
        moments=of_rank("moments", 2 * FP32_BYTES * trained),
        masters=FP32_BYTES * trained // world if zero else 0,
        forward_backward=int(forward_backward * KEPT[device]),
        features=2 * update_chunks * chunk_bytes,
    )


def row_batch(row: RowShape, spec: StreamSpec) -> Batch:
    """A row of that shape; its numbers are of no importance."""
    n_tokens, time = sum(row.lengths), spec.time

    def ids(n: int) -> Tensor:
        return torch.zeros(n, dtype=torch.int64)

    return Batch(
        ids=ids(n_tokens),
        positions=ids(n_tokens),
        starts=torch.zeros(len(row.lengths) + 1, dtype=torch.int32),
        lengths=row.lengths,
        slots=ids(row.chunks * time.slots_per_chunk),
        mel=torch.zeros(row.chunks, spec.front_end.n_mels, time.frames_per_chunk),
        at=ids(row.targets),
        targets=ids(row.targets),
        decisions=row.targets,
        stream_ids=(),
    )


class _Peak(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the storages that operations make inside the block, each until it is freed.

    Args:
        held: tensors that were there before, or count elsewhere.

    Attributes:
        bytes: the most that lived at one time.
    """

    def __init__(self, held: Iterable[object]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._known = {
            id(t.untyped_storage()) for t in held if isinstance(t, Tensor)
        }  # alive as long as the block is
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
        if key in self._known:
            return
        self._known.add(key)
        self._live += n_bytes
        self.bytes = max(self.bytes, self._live)

        def freed() -> None:
            self._known.discard(key)
            self._live -= n_bytes

        weakref.finalize(storage, freed)
