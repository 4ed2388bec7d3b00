"""DeepSpeed's ZeRO: moments (1), gradients too (2), weights too (3) are divided over ranks.

In bfloat16 the model itself holds bfloat16 weights, and each rank the float32 masters and moments
of its part only: 4 billion parameters on 8 ranks take 8 GB of weights and 6 GB of masters and
moments each. In float32 the model's weights are float32 and the masters a copy of this rank's part.

DeepSpeed runs on CUDA, and over gloo on a CPU, for tests and small models.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import deepspeed
import torch
from deepspeed.runtime.utils import combine_grad_norm_groups
from lightning import Trainer
from lightning.pytorch.accelerators import CPUAccelerator
from lightning.pytorch.plugins.precision import DeepSpeedPrecision
from lightning.pytorch.strategies import DeepSpeedStrategy
from torch import Tensor, nn
from torch.optim import AdamW

from soundflow.data.batch import Batch
from soundflow.train.fragments import MOMENTS, WEIGHT, Fragment
from soundflow.train.stages import trained_parameters
from soundflow.train.strategy.interface import REDUCED_TOGETHER, Strategy, set_lr


class Zero(Strategy):
    """ZeRO of stage 1, 2 or 3."""

    def __init__(self, grad_norm: float, stage: int) -> None:
        super().__init__(grad_norm)
        self._stage = stage
        self._lightning = _DeepSpeed(_config(stage, grad_norm))

    @property
    def lightning(self) -> DeepSpeedStrategy:
        return self._lightning

    def use(self, dtype: torch.dtype) -> None:
        if dtype == torch.bfloat16:
            self._lightning.compute_in_bf16(self._stage)

    def shard(self, module: nn.Module, model: nn.Module) -> None:
        self._lightning.reduce_together(min(trained_parameters(model), REDUCED_TOGETHER))

    def attach(self, trainer: Trainer, model: nn.Module) -> None:
        super().attach(trainer, model)
        self._of_stage: _Parts | _Shards = (
            _Shards(self.optimizer) if self._stage == 3 else _Parts(self.optimizer)
        )

    def forward(self, batch: Batch, *, last: bool) -> tuple[Tensor, Tensor]:
        # Called by hand, DeepSpeed takes every micro-batch for the last one of its update.
        self.wrapped.set_gradient_accumulation_boundary(last)
        return super().forward(batch, last=last)

    def backward(self, loss: Tensor, *, last: bool) -> None:
        self.wrapped.backward(loss)

    def step(self, lr_share: float) -> float:
        norm = float(self._of_stage.gradient_norm())
        if math.isfinite(norm):
            set_lr(self.adamw(), lr_share)
            self.wrapped.step()  # scales the gradient down and clears it
        return norm

    def adamw(self) -> AdamW:
        adamw: AdamW = self.optimizer.optimizer
        return adamw

    def fragments(self) -> Iterator[Fragment]:
        for name, parameter in self.model.named_parameters():
            if parameter.requires_grad:
                held = self._of_stage.held(parameter)
                if held is not None:
                    yield Fragment(name, *held)

    def load(self, folder: Path, updates: int) -> None:
        super().load(folder, updates)
        self._of_stage.take_masters()

    def stepped(self) -> list[Tensor]:
        return self._of_stage.stepped()

    @contextmanager
    def whole(self) -> Iterator[None]:
        if self._stage < 3:
            yield
            return
        # Ranks measure unequal numbers of batches: without its hooks no layer gathers weights, or
        # gives them away again, on its own.
        hooks = self.optimizer.parameter_offload
        with deepspeed.zero.GatheredParameters(list(self.model.parameters())):
            hooks._remove_module_hooks()
            try:
                yield
            finally:
                hooks.setup_zero_stage3_hooks()


class _Parts:
    """Stages 1 and 2: each rank has a part of one flat buffer for every parameter group."""

    def __init__(self, optimizer: Any) -> None:
        self._optimizer = optimizer

    def gradient_norm(self) -> Tensor:
        norm: Tensor = self._optimizer.scaled_global_norm()
        return norm

    def stepped(self) -> list[Tensor]:
        return list(self._optimizer.single_partition_of_fp32_groups)

    def held(self, parameter: Any) -> tuple[int, dict[str, Tensor]] | None:
        mapping = parameter._hp_mapping
        if mapping is None:
            return None
        flat = self._optimizer.single_partition_of_fp32_groups[mapping.param_group_index]
        place = mapping.hp_fragment_address
        tensors = _narrowed(self._optimizer.optimizer, flat, place.start, place.numel)
        return mapping.lp_fragment_address.start, tensors

    def take_masters(self) -> None:
        self._optimizer.update_lp_params()


class _Shards:
    """Stage 3: each rank has an equal part of every parameter; the last one may be cut short."""

    def __init__(self, optimizer: Any) -> None:
        self._optimizer = optimizer

    def gradient_norm(self) -> Tensor:
        norm: Tensor = combine_grad_norm_groups(self._optimizer._get_norm_groups())
        return norm

    def stepped(self) -> list[Tensor]:
        return list(self._optimizer.fp32_partitioned_groups_flat)

    def held(self, parameter: Any) -> tuple[int, dict[str, Tensor]] | None:
        group, offset, numel = self._optimizer.grad_position[parameter.ds_id]
        start = self._optimizer._get_param_partition_rank(parameter) * numel
        numel = min(numel, parameter.ds_numel - start)
        if numel <= 0:
            return None
        flat = self._optimizer.fp32_partitioned_groups_flat[group]
        return start, _narrowed(self._optimizer.optimizer, flat, offset, numel)

    def take_masters(self) -> None:
        for group in range(len(self._optimizer.fp32_partitioned_groups_flat)):
            self._optimizer._reassign_or_swap_out_partitioned_parameters(group)


def _narrowed(adamw: AdamW, flat: Tensor, start: int, length: int) -> dict[str, Tensor]:
    tensors = {WEIGHT: flat, **{kind: adamw.state[flat][kind] for kind in MOMENTS}}
    return {kind: t.detach().narrow(0, start, length) for kind, t in tensors.items()}


def _config(stage: int, grad_norm: float) -> dict[str, Any]:
    return {
        "train_micro_batch_size_per_gpu": 1,  # for its own throughput figures only
        "gradient_clipping": grad_norm,
        "zero_allow_untested_optimizer": True,  # any subclass of AdamW
        "zero_optimization": {
            "stage": stage,
            "overlap_comm": torch.cuda.is_available(),
            "stage3_gather_16bit_weights_on_model_save": False,
        },
    }


class _AsGiven(DeepSpeedPrecision):
    """Batches come as they are computed with; Lightning's conversion cannot walk through them."""

    def convert_input(self, data: Any) -> Any:
        return data


class _DeepSpeed(DeepSpeedStrategy):
    """Lightning's strategy, on a CPU too, and without its own call of the training step."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__(
            config=config, logging_level=logging.WARNING, precision_plugin=_AsGiven("32-true")
        )

    def compute_in_bf16(self, stage: int) -> None:
        assert isinstance(self.config, dict)
        self.config["bf16"] = {"enabled": True}
        if stage > 1:  # stage 1 would change to another optimiser of DeepSpeed's for this
            self.config["data_types"] = {"grad_accum_dtype": "fp32"}

    def reduce_together(self, parameters: int) -> None:
        assert isinstance(self.config, dict)
        self.config["zero_optimization"]["reduce_bucket_size"] = parameters

    @property
    def root_device(self) -> torch.device:
        device = super().root_device
        return torch.device("cpu", 0) if device.type == "cpu" else device  # it wants an index

    def setup_environment(self) -> None:
        if self._on_cpu():
            # Otherwise it compiles a communication library for a minute.
            deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
            super(DeepSpeedStrategy, self).setup_environment()
        else:
            super().setup_environment()

    def setup_distributed(self) -> None:
        if self._on_cpu():
            self.set_world_ranks()
            self._init_deepspeed_distributed()
        else:
            super().setup_distributed()

    def training_step(self, *args: Any, **kwargs: Any) -> Any:
        assert self.lightning_module is not None
        return self.lightning_module.training_step(*args, **kwargs)

    def _on_cpu(self) -> bool:
        return isinstance(self.accelerator, CPUAccelerator)
