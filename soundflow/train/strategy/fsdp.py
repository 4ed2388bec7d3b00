"""torch's fully sharded data parallelism (FSDP2): each rank holds rows of every parameter.

Weights are float32 rows, gathered in the number format of the run layer by layer as they are used.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from lightning.pytorch.strategies import ModelParallelStrategy
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor
from torch.distributed.tensor._utils import compute_local_shape_and_global_offset

from soundflow.data.batch import Batch
from soundflow.model.interaction import AudioInteractionModel
from soundflow.train.fragments import MOMENTS, WEIGHT, Fragment
from soundflow.train.host_moments import local
from soundflow.train.strategy.interface import Strategy, set_lr


class Fsdp(Strategy):
    """FSDP2 over all ranks; every layer of the language model is gathered on its own.

    The tower, whose layers are not called as modules, is gathered with embedding and head.
    """

    def __init__(self, grad_norm: float, world: int) -> None:
        super().__init__(grad_norm)
        self._lightning = _Fsdp(data_parallel_size=world, tensor_parallel_size=1)
        self._dtype = torch.float32

    @property
    def lightning(self) -> ModelParallelStrategy:
        return self._lightning

    def use(self, dtype: torch.dtype) -> None:
        self._dtype = dtype

    def shard(self, module: nn.Module, model: nn.Module) -> None:
        assert isinstance(model, AudioInteractionModel)
        mesh = self._lightning.device_mesh["data_parallel"]
        policy = MixedPrecisionPolicy(param_dtype=self._dtype, reduce_dtype=torch.float32)
        for layer in model.lm.model.layers:
            fully_shard(layer, mesh=mesh, mp_policy=policy)
        fully_shard(module, mesh=mesh, mp_policy=policy)

    def forward(self, batch: Batch, *, last: bool) -> tuple[Tensor, Tensor]:
        self.wrapped.set_requires_gradient_sync(last)
        return super().forward(batch, last=last)

    def step(self, lr_share: float) -> float:
        trained = [p for p in self.model.parameters() if p.requires_grad]
        norm = nn.utils.clip_grad_norm_(trained, self.grad_norm)
        value = float(norm.full_tensor() if isinstance(norm, DTensor) else norm)
        if math.isfinite(value):
            set_lr(self.optimizer, lr_share)
            self.optimizer.step()
        self.optimizer.zero_grad()
        return value

    def fragments(self) -> Iterator[Fragment]:
        for name, parameter in self.model.named_parameters():
            if not (parameter.requires_grad and isinstance(parameter, DTensor)):
                continue
            state = self.optimizer.state[parameter]
            tensors = {WEIGHT: parameter, **{kind: state[kind] for kind in MOMENTS}}
            flat = {kind: local(t).view(-1) for kind, t in tensors.items()}
            shape, place = compute_local_shape_and_global_offset(
                parameter.shape, parameter.device_mesh, parameter.placements
            )
            if math.prod(shape):
                yield Fragment(name, place[0] * math.prod(shape[1:]), flat)

    @contextmanager
    def whole(self) -> Iterator[None]:
        layers = [m for m in self.wrapped.modules() if isinstance(m, FSDPModule)]
        # A run that measures before its first update calls a layer before the module around it,
        # which would otherwise be set up by its own first call, too late.
        self.wrapped._get_fsdp_state()._lazy_init()
        for layer in layers:
            layer.unshard()
            # Ranks measure unequal numbers of batches: a layer that is gathered once more would
            # wait for ranks that are done.
            layer.set_reshard_after_forward(False, recurse=False)
        try:
            yield
        finally:
            for layer in layers:
                layer.reshard()
                layer.set_reshard_after_forward(layer is not self.wrapped, recurse=False)


class _Fsdp(ModelParallelStrategy):
    """Lets the training step call the sharded module itself, once a micro-batch."""

    def training_step(self, *args: Any, **kwargs: Any) -> Any:
        assert self.lightning_module is not None
        return self.lightning_module.training_step(*args, **kwargs)
