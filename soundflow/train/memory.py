"""How much memory a rank of a run will take at its peak, before anything is started.

::

    peak  =  weights  +  gradients  +  moments  +  masters  +  buffers  +  pass  +  features

    weights     4 bytes a parameter; 2 under ZeRO in bfloat16    / ranks with zero3, fsdp
    gradients   4 bytes a trained parameter; 2 under zero1 in    / ranks with zero2, zero3, fsdp
                bfloat16, which adds them up in it
    moments     8 bytes a trained parameter (AdamW)              / ranks with all but single, ddp
                in ``host`` memory where `compute.offload_moments` says so
    masters     4 bytes a trained parameter: what ZeRO steps     / ranks
    buffers     what the strategy holds to communicate: gathered weights under zero3 and fsdp,
                gradients on their way under zero1 and zero2 on CUDA
    pass        the peak of one forward and backward pass over the largest row, beyond the above
    features    what the tower takes, or has given, of an update's chunks, twice: one update is
                loaded while another trains

``pass`` is not a formula: the training code itself runs, with tensors that have shapes and no
numbers (torch's FakeTensorMode), and every storage it makes is counted until it is freed. Packing,
frozen parts, adapters and the pieces of the head are in it as they are. A torch without CUDA has
fake tensors of a CPU only, so for a GPU its kernels stand in for those that keep as much.

An allocator keeps some of what was freed in pieces too small to use again. `KEPT` is how much more
than their bytes tensors take for that: on a CPU as `tests/benchmarks/bench_memory.py` measures it,
and only those up to 32 MiB. glibc maps larger ones by themselves and gives them back whole.
Not in it is what the process held before, libraries above all (about 0.6 GiB).
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
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
from soundflow.model.config import ModelConfig
from soundflow.model.interaction import AudioInteractionModel
from soundflow.model.weights import cast_parameters
from soundflow.protocol.spec import StreamSpec
from soundflow.train.compute import computing
from soundflow.train.host_moments import STAGED_BYTES
from soundflow.train.loss import loss_sums
from soundflow.train.recipe import StageConfig, StrategyName
from soundflow.train.stages import apply_stage, trained_parameters
from soundflow.train.strategy.interface import REDUCED_TOGETHER

FP32_BYTES = 4
_GATHERED_AT_ONCE = 1_000_000_000  # DeepSpeed's stage3_max_live_parameters
KEPT = {"cpu": 1.5, "cuda": 1.1}
_MAPPED_BYTES = {"cpu": 32 << 20, "cuda": None}  # glibc's DEFAULT_MMAP_THRESHOLD_MAX
_DIVIDES_WEIGHTS = frozenset({"zero3", "fsdp"})
_DIVIDES_GRADIENTS = frozenset({"zero2", "zero3", "fsdp"})
_DIVIDES_MOMENTS = frozenset({"zero1", "zero2", "zero3", "fsdp"})


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
class Held:
    """Bytes that a rank holds whatever it computes; see the module.

    Attributes:
        host: beside its device, not in the peak.
    """

    trained: int
    parameters: int
    weights: int
    gradients: int
    moments: int
    masters: int
    host: int

    @property
    def peak(self) -> int:
        """At the least."""
        return self.weights + self.gradients + self.moments + self.masters


@dataclass(frozen=True)
class Memory(Held):
    """Bytes of one rank at the peak of an update; see the module."""

    buffers: int
    forward_backward: int
    features: int

    @property
    def peak(self) -> int:
        return super().peak + self.buffers + self.forward_backward + self.features


def held(
    model: AudioInteractionModel,
    *,
    dtype: torch.dtype = torch.float32,
    strategy: StrategyName = "single",
    world: int = 1,
    offload_moments: bool = False,
) -> Held:
    """What a rank holds of a model that a stage was applied to; it may be on the meta device.

    Args:
        dtype: bfloat16 is autocast over float32 weights, except under ZeRO.
        strategy: as `compute.strategy` resolves to.
        offload_moments: to the memory of the host of a device that has its own.
    """
    parameters, trained = model.parameter_count(), trained_parameters(model)
    bf16 = _in_bf16(dtype, strategy)
    weight_bytes = dtype.itemsize if bf16 else FP32_BYTES
    gradient_bytes = dtype.itemsize if bf16 and strategy == "zero1" else FP32_BYTES

    def of_rank(n_bytes: int, divided: bool) -> int:
        return n_bytes // world if divided else n_bytes

    moments = of_rank(2 * FP32_BYTES * trained, strategy in _DIVIDES_MOMENTS)
    return Held(
        trained=trained,
        parameters=parameters,
        weights=of_rank(weight_bytes * parameters, strategy in _DIVIDES_WEIGHTS),
        gradients=of_rank(gradient_bytes * trained, strategy in _DIVIDES_GRADIENTS),
        moments=0 if offload_moments else moments,
        masters=FP32_BYTES * trained // world if strategy.startswith("zero") else 0,
        host=moments if offload_moments else 0,
    )


def predict(
    config: ModelConfig,
    spec: StreamSpec,
    stage: StageConfig,
    row: RowShape,
    *,
    dtype: torch.dtype = torch.float32,
    recompute_share: float = 0.0,
    strategy: StrategyName = "single",
    world: int = 1,
    update_chunks: int = 0,
    cached: bool = False,
    device: Literal["cpu", "cuda"] = "cpu",
    compiled: bool = False,
    offload_moments: bool = False,
) -> Memory:
    """The memory of a rank that trains ``stage`` of a model on rows like ``row``.

    Args:
        dtype, strategy, offload_moments: see `held`.
        recompute_share: see `ComputeConfig`.
        update_chunks: chunks of one rank's rows of an update.
        cached: whether the rows come with what the tower made of them.
        device: whose kernels and allocator it is.
        compiled: whether the layers of the language model are.
    """
    computed = dtype
    if device == "cuda":
        row = replace(row, lengths=(sum(row.lengths),))  # one kernel takes all streams of the row
        if dtype == torch.bfloat16:  # a CPU keeps scores in it; in float16 it does as CUDA does
            computed = torch.float16
    with torch.device("meta"):
        model = AudioInteractionModel(config, spec.tokens).train()
    model.recompute_activations(recompute_share)
    apply_stage(model, stage)  # peft moves its layers, which fake tensors do not allow
    with FakeTensorMode():
        _without_numbers(model)
        between = held(
            model, dtype=dtype, strategy=strategy, world=world, offload_moments=offload_moments
        )
        buffers = _buffers(model, dtype, strategy, device)
        buffers += STAGED_BYTES if offload_moments else 0
        if _in_bf16(dtype, strategy):
            cast_parameters(model, computed)
        if compiled:
            _keep_as_if_compiled(model, computed)
        gradients = []
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.grad = torch.empty_like(parameter)
                gradients.append(parameter.grad)
        width = config.audio_encoder.width
        batch = row_batch(row, spec, width if cached else None)
        there = [*model.parameters(), *model.buffers(), *gradients, *vars(batch).values()]
        with _Peak(there, device) as peak:
            with computing(computed, torch.device("cpu")):
                sums = loss_sums(model, batch)
                loss = sums.stream + sums.reply
            torch.autograd.backward(loss)
        forward_backward = peak.bytes

    mel_bytes = spec.front_end.n_mels * spec.time.frames_per_chunk * FP32_BYTES
    states_bytes = spec.time.slots_per_chunk * width * torch.bfloat16.itemsize
    chunk_bytes = states_bytes if cached else mel_bytes
    return Memory(
        **vars(between),
        buffers=buffers,
        forward_backward=forward_backward,
        features=2 * update_chunks * chunk_bytes,
    )


def _in_bf16(dtype: torch.dtype, strategy: StrategyName) -> bool:
    """Whether the weights themselves are in bfloat16: DeepSpeed's, beside its float32 masters."""
    return dtype == torch.bfloat16 and strategy.startswith("zero")


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


def _buffers(
    model: AudioInteractionModel,
    dtype: torch.dtype,
    strategy: StrategyName,
    device: Literal["cpu", "cuda"],
) -> int:
    """Bytes that a rank holds to communicate, by the defaults of DeepSpeed and the units of ours.

    On a CPU the buffers of ZeRO 1 and 2 are reserved and take no memory before they are filled.
    """
    if strategy in ("zero1", "zero2"):
        bucket = min(REDUCED_TOGETHER, trained_parameters(model)) * dtype.itemsize
        return 2 * bucket if device == "cuda" else 0  # one is reduced while the other is filled
    parameters = model.parameter_count()
    if strategy == "zero3":
        return min(_GATHERED_AT_ONCE, parameters) * dtype.itemsize
    if strategy == "fsdp":  # two layers, one of them ahead, beside all that is no layer
        layers = model.lm.model.layers
        layer: int = sum(p.numel() for p in layers[0].parameters())
        return (parameters - max(0, len(layers) - 2) * layer) * dtype.itemsize
    return 0


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


class _Peak(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the storages that operations make inside the block, each until it is freed.

    Args:
        held: tensors that were there before, or count elsewhere.
        device: whose allocator it is.

    Attributes:
        bytes: the most that lived at one time, with what the allocator keeps.
    """

    def __init__(self, held: Iterable[object], device: Literal["cpu", "cuda"]) -> None:
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
