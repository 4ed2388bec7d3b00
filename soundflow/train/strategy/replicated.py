"""Every rank holds all weights and moments: one device, or torch's DistributedDataParallel."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import nullcontext
from itertools import islice
from typing import Any

from lightning import Trainer
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.strategies import Strategy as LightningStrategy
from torch import Tensor, nn

from soundflow.data.batch import Batch
from soundflow.train.fragments import Fragment
from soundflow.train.strategy.interface import Strategy, set_lr, whole_fragment


class Replicated(Strategy):
    """float32 weights; the products are computed in the number format of the run by autocast."""

    @property
    def lightning(self) -> LightningStrategy | str:
        return "auto"

    def step(self, lr_share: float) -> float:
        norm = float(nn.utils.clip_grad_norm_(self._trained(), self.grad_norm))
        if math.isfinite(norm):
            set_lr(self.optimizer, lr_share)
            self.optimizer.step()
        self.optimizer.zero_grad()
        return norm

    def fragments(self) -> Iterator[Fragment]:
        for name, parameter in self.model.named_parameters():
            if parameter.requires_grad:
                yield whole_fragment(name, parameter, self.optimizer.state[parameter])

    def written(self) -> Iterator[Fragment]:
        return islice(self.fragments(), self.rank, None, self.world)

    def _trained(self) -> list[nn.Parameter]:
        return [p for p in self.model.parameters() if p.requires_grad]


class Ddp(Replicated):
    """Gradients are summed over ranks while the last micro-batch of an update goes backward."""

    @property
    def lightning(self) -> LightningStrategy:
        # Otherwise its buckets hold every gradient a second time.
        return _Ddp(broadcast_buffers=False, gradient_as_bucket_view=True)

    def attach(self, trainer: Trainer, model: nn.Module) -> None:
        super().attach(trainer, model)
        assert isinstance(self.wrapped, nn.parallel.DistributedDataParallel)

    def forward(self, batch: Batch, *, last: bool) -> tuple[Tensor, Tensor]:
        with nullcontext() if last else self.wrapped.no_sync():
            return super().forward(batch, last=last)


class _Ddp(DDPStrategy):
    """Lets the training step call the wrapped module itself, once a micro-batch."""

    def training_step(self, *args: Any, **kwargs: Any) -> Any:
        assert self.lightning_module is not None
        return self.lightning_module.training_step(*args, **kwargs)
