"""The Lightning module: one training step is one update of the optimiser."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import cast

import torch
from lightning import LightningModule
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR

from soundflow.data.batch import Batch, Update
from soundflow.model.interaction import AudioInteractionModel
from soundflow.train.compute import Compute, computing
from soundflow.train.loss import LossConfig, loss_sums
from soundflow.train.metrics import BF16, COUNTS, VALID, held_out_counts, held_out_metrics
from soundflow.train.optim import OptimConfig, build_optimizer, build_schedule
from soundflow.train.stopping import SIGNALS, StopFlag

StreamingMetrics = Callable[[AudioInteractionModel], dict[str, float]]


class StreamingModule(LightningModule):
    """Trains an `AudioInteractionModel` on updates, and measures it on held-out streams.

    Args:
        flag: asked at every update, on all ranks together, whether the run should stop.
        decode_held_out: decodes the held-out streams live and measures the result; None leaves
            teacher-forced figures only.
        log_every: updates between two lines of the metrics.

    Attributes:
        compute: number format and threads, see `use`.
        stop_signal: what some process of the run was asked to stop by before the newest update.
    """

    def __init__(
        self,
        model: AudioInteractionModel,
        optim: OptimConfig,
        loss: LossConfig,
        flag: StopFlag,
        decode_held_out: StreamingMetrics | None = None,
        log_every: int = 1,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.model = model
        self.compute = Compute(torch.float32, torch.get_num_threads())
        self.stop_signal: int | None = None
        self._optim = optim
        self._loss = loss
        self._flag = flag
        self._decode_held_out = decode_held_out
        self._log_every = log_every
        self.last_update: dict[str, float] = {}
        self.last_metrics: dict[str, float] = {}

    def use(self, compute: Compute) -> None:
        """Computes in this way from here on."""
        torch.set_num_threads(compute.threads)
        if self.device.type == "cuda":
            torch.set_float32_matmul_precision("high")  # TF32 where a product stays in float32
        self.compute = compute

    def training_step(self, update: Update, index: int) -> None:
        """Forward and backward of every micro-batch, then one step of the optimiser.

        Gradients are averaged over ranks by the strategy, hence the factor ``world_size`` on a
        loss that is already divided by the counts of all ranks.

        Raises:
            FloatingPointError: if loss or gradient is not finite, before the weights are changed.
        """
        optimizer = cast(LightningOptimizer, self.optimizers())
        schedule = cast(LambdaLR, self.lr_schedulers())
        self._note_stop()
        total = torch.zeros(2, dtype=torch.float64, device=self.device)
        for number, batch in enumerate(update.batches, start=1):
            with optimizer.toggle_model(sync_grad=number == len(update.batches)):
                with computing(self.compute.dtype, self.device):
                    sums = loss_sums(self.model, batch)
                    loss = sums.combined(update.decisions, update.reply_tokens, self._loss)
                self.manual_backward(loss * self._world)
            total += torch.stack([sums.stream.detach(), sums.reply.detach()])
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self._optim.grad_norm)
        counts = torch.tensor([update.decisions, update.reply_tokens]).clamp(min=1)
        parts = self._over_ranks(total).cpu() / counts
        values = self._figures(parts, norm, float(schedule.get_last_lr()[0]))
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        self.last_update = values
        if self.global_step % self._log_every == 0:
            self._write(values | {BF16: float(self.compute.dtype == torch.bfloat16)})

    @torch.no_grad()
    def measure_held_out(self, batches: Iterable[Batch]) -> None:
        """Figures of this rank's batches and the others' go to the metrics; all ranks take part."""
        self.eval()
        counts = torch.zeros(len(COUNTS), dtype=torch.float64)
        with computing(self.compute.dtype, self.device):
            for batch in batches:
                counts += held_out_counts(self.model, batch.to(self.device)).cpu()
        found = held_out_metrics(self._over_ranks(counts).cpu(), self._loss.stream_weight)
        if self._decode_held_out is not None and self.trainer.is_global_zero:
            with torch.random.fork_rng(devices=[]):
                found |= self._decode_held_out(self.model)
        self.train()
        self.last_metrics = found
        self._write({f"{VALID}{k}": v for k, v in found.items()})

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        optimizer = build_optimizer(self.model, self._optim)
        return {"optimizer": optimizer, "lr_scheduler": build_schedule(optimizer, self._optim)}

    def _note_stop(self) -> None:
        """Takes note of whether any process was asked to stop."""
        asked = torch.tensor([self._flag.asked == n for n in SIGNALS], dtype=torch.float64)
        stops = self._over_ranks(asked).tolist()
        self.stop_signal = next((n for n, on in zip(SIGNALS, stops, strict=True) if on), None)

    def _figures(self, parts: Tensor, norm: Tensor, lr: float) -> dict[str, float]:
        stream, reply = parts.tolist()
        values = {
            "train/loss": reply + self._loss.stream_weight * stream,
            "train/loss_stream": stream,
            "train/loss_reply": reply,
            "train/grad_norm": float(norm),
            "train/lr": lr,
        }
        if not all(map(math.isfinite, values.values())):
            told = ", ".join(f"{name.removeprefix('train/')} {v:g}" for name, v in values.items())
            raise FloatingPointError(told)
        return values

    def _write(self, values: dict[str, float]) -> None:
        for logger in self.loggers:
            logger.log_metrics(values, step=self.global_step)

    @property
    def _world(self) -> int:
        return self.trainer.world_size

    def _over_ranks(self, sums: Tensor) -> Tensor:
        if self._world == 1:
            return sums
        reduced: Tensor = self.trainer.strategy.reduce(sums.to(self.device), reduce_op="sum")
        return reduced
