"""The Lightning module: one training step is one update of the optimiser."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import cast

import torch
from lightning import LightningModule
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR

from soundflow.data.batch import Batch
from soundflow.model.interaction import AudioInteractionModel
from soundflow.train.cpu import short_sequence_attention
from soundflow.train.loss import LossConfig, loss_sums, target_counts
from soundflow.train.metrics import COUNTS, held_out_counts, held_out_metrics
from soundflow.train.optim import OptimConfig, build_optimizer, build_schedule

StreamingMetrics = Callable[[AudioInteractionModel], dict[str, float]]


class StreamingModule(LightningModule):
    """Trains an `AudioInteractionModel` on updates, and listens to it on held-out streams.

    Args:
        decode_held_out: decodes the held-out streams live and measures the result; None leaves
            teacher-forced figures only.
        log_every: updates between two lines of the metrics.
    """

    def __init__(
        self,
        model: AudioInteractionModel,
        optim: OptimConfig,
        loss: LossConfig,
        decode_held_out: StreamingMetrics | None = None,
        log_every: int = 1,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.model = model
        self._optim = optim
        self._loss = loss
        self._decode_held_out = decode_held_out
        self._log_every = log_every
        self._held_out = torch.zeros(len(COUNTS), dtype=torch.float64)
        self.last_update: dict[str, float] = {}
        self.last_metrics: dict[str, float] = {}

    def training_step(self, update: tuple[Batch, ...], index: int) -> None:
        """Forward and backward of every micro-batch, then one step of the optimiser.

        Gradients are averaged over ranks by the strategy, hence the factor ``world_size`` on a
        loss that is already divided by the counts of all ranks.
        """
        optimizer = cast(LightningOptimizer, self.optimizers())
        schedule = cast(LambdaLR, self.lr_schedulers())
        counts = self._over_ranks(torch.stack([target_counts(b) for b in update]).sum(0))
        total = torch.zeros(2, dtype=torch.float64)
        for number, batch in enumerate(update, start=1):
            synced = optimizer.toggle_model(sync_grad=number == len(update))
            with synced, self._attention():
                sums = loss_sums(self.model, batch)
                self.manual_backward(sums.combined(counts, self._loss) * self._world)
            total += torch.stack([sums.stream.detach(), sums.reply.detach()]).double().cpu()
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self._optim.grad_norm)
        optimizer.step()
        optimizer.zero_grad()
        lr = float(schedule.get_last_lr()[0])
        schedule.step()
        self._log_update(self._over_ranks(total) / counts.cpu().clamp(min=1), norm, lr)

    def validation_step(self, batch: Batch, index: int) -> None:
        self._held_out += held_out_counts(self.model, batch).cpu()

    def on_validation_epoch_end(self) -> None:
        counts = self._over_ranks(self._held_out)
        self._held_out = torch.zeros_like(self._held_out)
        found = held_out_metrics(counts, self._loss.stream_weight)
        if self._decode_held_out is not None and self.trainer.is_global_zero:
            with torch.random.fork_rng(devices=[]):
                found |= self._decode_held_out(self.model)
        self.last_metrics = found
        self._write({f"valid/{k}": v for k, v in found.items()})

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        optimizer = build_optimizer(self.model, self._optim)
        return {"optimizer": optimizer, "lr_scheduler": build_schedule(optimizer, self._optim)}

    def _log_update(self, parts: Tensor, norm: Tensor, lr: float) -> None:
        stream, reply = parts.tolist()
        values = {
            "train/loss": reply + self._loss.stream_weight * stream,
            "train/loss_stream": stream,
            "train/loss_reply": reply,
            "train/grad_norm": float(norm),
            "train/lr": lr,
        }
        if not all(map(math.isfinite, values.values())):
            raise FloatingPointError(f"update {self.global_step}: {values}")
        self.last_update = values
        if self.global_step % self._log_every == 0:
            self._write(values)

    def _write(self, values: dict[str, float]) -> None:
        for logger in self.loggers:
            logger.log_metrics(values, step=self.global_step)

    @property
    def _world(self) -> int:
        return self.trainer.world_size

    def _attention(self) -> AbstractContextManager[None]:
        return short_sequence_attention() if self.device.type == "cpu" else nullcontext()

    def _over_ranks(self, sums: Tensor) -> Tensor:
        if self._world == 1:
            return sums
        reduced: Tensor = self.trainer.strategy.reduce(sums.to(self.device), reduce_op="sum")
        return reduced
