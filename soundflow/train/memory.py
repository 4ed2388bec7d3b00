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
                gradients on their way under ZeRO on CUDA; moments on their way from the host
    pass        the peak of one forward and backward pass over the largest row, beyond the above
                (`soundflow.train.pass_memory`)
    features    what the tower takes, or has given, of an update's chunks, twice: one update is
                loaded while another trains

Not in it is what the process held before, libraries above all (about 0.6 GiB).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from soundflow.model.config import ModelConfig
from soundflow.model.interaction import AudioInteractionModel
from soundflow.model.weights import cast_parameters
from soundflow.protocol.spec import StreamSpec
from soundflow.train.host_moments import STAGED_BYTES
from soundflow.train.pass_memory import Device, RowShape, pass_bytes
from soundflow.train.recipe import StageConfig, StrategyName
from soundflow.train.stages import apply_stage, trained_parameters
from soundflow.train.strategy.interface import REDUCED_TOGETHER

FP32_BYTES = 4
_GATHERED_AT_ONCE = 1_000_000_000  # DeepSpeed's stage3_max_live_parameters
# Of gradients on their way: under ZeRO 1 and 2 one is reduced while the other is filled.
_BUCKETS = {"zero1": 2, "zero2": 2, "zero3": 1}
_DIVIDES_WEIGHTS = frozenset({"zero3", "fsdp"})
_DIVIDES_GRADIENTS = frozenset({"zero2", "zero3", "fsdp"})
_DIVIDES_MOMENTS = frozenset({"zero1", "zero2", "zero3", "fsdp"})


@dataclass(frozen=True)
class Memory:
    """Bytes of one rank at the peak of an update; see the module.

    Attributes:
        host: beside its device, not in the peak.
        buffers, forward_backward, features: 0 where only what is held anyway is known.
    """

    trained: int
    parameters: int
    weights: int
    gradients: int
    moments: int
    masters: int
    host: int
    buffers: int = 0
    forward_backward: int = 0
    features: int = 0

    @property
    def peak(self) -> int:
        held = self.weights + self.gradients + self.moments + self.masters
        return held + self.buffers + self.forward_backward + self.features


def held(
    model: AudioInteractionModel,
    *,
    dtype: torch.dtype = torch.float32,
    strategy: StrategyName = "single",
    world: int = 1,
    offload_moments: bool = False,
) -> Memory:
    """What a rank holds of a model that a stage was applied to, whatever it computes.

    Args:
        model: may be on the meta device.
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
    return Memory(
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
    device: Device = "cpu",
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
    apply_stage(model, stage)
    between = held(
        model, dtype=dtype, strategy=strategy, world=world, offload_moments=offload_moments
    )
    buffers = _buffers(model, dtype, strategy, device) + offload_moments * STAGED_BYTES
    if _in_bf16(dtype, strategy):
        cast_parameters(model, computed)
    width = config.audio_encoder.width
    states_width = width if cached else None
    mel_bytes = spec.front_end.n_mels * spec.time.frames_per_chunk * FP32_BYTES
    states_bytes = spec.time.slots_per_chunk * width * torch.bfloat16.itemsize
    return replace(
        between,
        buffers=buffers,
        forward_backward=pass_bytes(model, row, spec, states_width, computed, device, compiled),
        features=2 * update_chunks * (states_bytes if cached else mel_bytes),
    )


def _in_bf16(dtype: torch.dtype, strategy: StrategyName) -> bool:
    """Whether the weights themselves are in bfloat16: DeepSpeed's, beside its float32 masters."""
    return dtype == torch.bfloat16 and strategy.startswith("zero")


def _buffers(
    model: AudioInteractionModel,
    dtype: torch.dtype,
    strategy: StrategyName,
    device: Device,
) -> int:
    """Bytes that a rank holds to communicate, by the defaults of DeepSpeed and the units of ours.

    On a CPU its buckets of gradients are reserved and take no memory before they are filled.
    """
    buckets = _BUCKETS.get(strategy, 0) if device == "cuda" else 0
    parameters = model.parameter_count()
    held = buckets * min(REDUCED_TOGETHER, trained_parameters(model))
    if strategy == "zero3":
        held += min(_GATHERED_AT_ONCE, parameters)
    if strategy == "fsdp":  # two layers, one of them ahead, beside all that is no layer
        layers = model.lm.model.layers
        layer = sum(p.numel() for p in layers[0].parameters())
        held += parameters - max(0, len(layers) - 2) * layer
    return held * dtype.itemsize
