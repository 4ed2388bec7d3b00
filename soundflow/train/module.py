"""The Lightning module: one training step is one update of the optimiser."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import torch
from lightning import LightningModule
from torch import Tensor
from torch.optim import AdamW

from soundflow.data.batch import Batch, Update
from soundflow.model.interaction import AudioInteractionModel
from soundflow.train.compute import Compute, computing
from soundflow.train.held_out import (
    COUNTS,
    LIVE,
    LiveFigures,
    held_out_counts,
    held_out_figures,
)
from soundflow.train.loss import LossSums, loss_sums
from soundflow.train.metrics import BF16, SPEED, TRAIN, VALID
from soundflow.train.optim import build_optimizer, lr_share
from soundflow.train.ranks import from_first, gathered, together
from soundflow.train.recipe import LossConfig, OptimConfig
from soundflow.train.stopping import SIGNALS, StopFlag
from soundflow.train.strategy.interface import Strategy
from soundflow.train.throughput import Meter

DecodeHeldOut = Callable[[AudioInteractionModel], LiveFigures]


class NotFinite(Exception):
    """An update whose loss or gradient is not finite; every rank raises it, with the same words.

    Args:
        update: counted from 1.
        values: loss parts and norm, in words.
        by_rank: ids of the streams whose loss is not finite; of all streams where only the gradient
            is not.
    """

    def __init__(self, update: int, values: str, by_rank: dict[int, list[str]]) -> None:
        super().__init__(values)
        self.update = update
        self.ranks = [rank for rank, ids in by_rank.items() if ids]
        self.stream_ids = [i for ids in by_rank.values() for i in ids]


class StreamingModule(LightningModule):
    """Trains an `AudioInteractionModel` on updates, and measures it on held-out streams.

    Args:
        flag: asked at every update, on all ranks together, whether the run should stop.
        decode_held_out: decodes this rank's share of the held-out streams live and measures the
            result of all; None leaves teacher-forced figures only.
        log_every: updates between two lines of the metrics.

    Attributes:
        updates: how many were taken, those before a resume included.
        compute: number format and threads, see `use`.
        stop_signal: what some process of the run was asked to stop by before the newest update.
    """

    def __init__(
        self,
        model: AudioInteractionModel,
        strategy: Strategy,
        optim: OptimConfig,
        loss: LossConfig,
        flag: StopFlag,
        decode_held_out: DecodeHeldOut | None = None,
        log_every: int = 1,
        offload_moments: bool = False,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.model = model
        self.engine = strategy
        self.compute = Compute(torch.float32, torch.get_num_threads())
        self.updates = 0
        self.stop_signal: int | None = None
        self._optim = optim
        self._loss = loss
        self._flag = flag
        self._decode_held_out = decode_held_out
        self._log_every = log_every
        self._offload_moments = offload_moments
        self._meter = Meter(model)
        self._unread = 0.0  # ranks that could not read their streams of the newest update
        self.last_update: dict[str, float] = {}
        self.last_speed: dict[str, float] = {}
        self.last_metrics: dict[str, float] = {}

    def use(self, compute: Compute) -> None:
        """Computes in this way from here on."""
        torch.set_num_threads(compute.threads)
        if self.device.type == "cuda":
            torch.set_float32_matmul_precision("high")  # TF32 where a product stays in float32
        self.compute = compute
        self.engine.use(compute.dtype)

    def training_step(self, update: Update, index: int) -> None:
        """Forward and backward of every micro-batch, then one step of the optimiser.

        Gradients are averaged over ranks by the strategy, hence the factor ``world`` on a loss
        that is already divided by the counts of all ranks.

        Raises:
            NotFinite: on all ranks, before the weights are changed.
            UserError: on all ranks, if one of them could not read its streams; the update does not
                count.
        """
        self._meter.begin()
        parts = []
        for number, batch in enumerate(update.batches, start=1):
            last = number == len(update.batches)
            sums = LossSums(*self.engine.forward(batch, last=last))
            loss = sums.combined(update.decisions, update.reply_tokens, self._loss)
            self.engine.backward(loss * self.engine.world, last=last)
            parts.append(torch.stack([sums.stream.detach(), sums.reply.detach()]))
        share = lr_share(self.updates, self._optim)
        norm = self.engine.step(share)
        totals = self._totals_and_stop(torch.stack(parts).double(), update)
        if self._unread:
            error = next(error for error in gathered(update.error) if error is not None)
            error.together = True
            raise error
        counts = torch.tensor([update.decisions, update.reply_tokens]).clamp(min=1)
        self.last_update = self._figures(totals / counts, norm, share * self._optim.lr)
        if not all(map(math.isfinite, self.last_update.values())):
            raise self._not_finite(update, torch.stack(parts))
        self.updates += 1
        if self.updates % self._log_every == 0:
            left = self._optim.updates - self.updates
            dtype, device = self.compute.dtype, self.device
            self.last_speed = self._meter.figures(left, self.engine.world, device, dtype)
            speed = {f"{SPEED}{name}": value for name, value in self.last_speed.items()}
            self._write(self.last_update | {BF16: float(dtype == torch.bfloat16)} | speed)

    def on_train_batch_end(self, outputs: object, batch: Update, batch_idx: int) -> None:
        """Called after what happens between updates."""
        self._meter.ready()

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Sums of both loss parts over one micro-batch; what the strategy wraps."""
        with computing(self.compute.dtype, self.device):
            sums = loss_sums(self.model, batch)
        return sums.stream, sums.reply

    @torch.no_grad()
    def measure_held_out(
        self, batches: Iterable[Batch], tasks: Sequence[str]
    ) -> LiveFigures | None:
        """Measures this rank's batches and the others'; all ranks take part.

        The figures are `last_metrics`, and in the metrics once `write_held_out` is called.

        Args:
            tasks: of all held-out streams.

        Returns:
            What live decoding found.

        Raises:
            Stopped: on all ranks, if one of them was asked to stop meanwhile.
        """
        self.eval()
        live = None
        with self.engine.whole():
            with computing(self.compute.dtype, self.device):
                mine = together(lambda: self._counts(batches, tasks))
            assert mine is not None  # there is something to do on every rank
            counts = self._over_ranks(mine).cpu()
            found = held_out_figures(counts, tasks, self._loss.stream_weight)
            if self._decode_held_out is not None:
                with torch.random.fork_rng(devices=[]):
                    live = self._decode_held_out(self.model)
                found |= {f"{LIVE}{name}": value for name, value in live.figures.items()}
        self.train()
        self.last_metrics = from_first(found)
        return live

    def write_held_out(self) -> None:
        """Adds the newest held-out figures to the metrics."""
        self._write({f"{VALID}{k}": v for k, v in self.last_metrics.items()})

    def _counts(self, batches: Iterable[Batch], tasks: Sequence[str]) -> Tensor:
        """Of this rank, see `held_out_counts`."""
        counts = torch.zeros(len(tasks), len(COUNTS), dtype=torch.float64)
        for batch in batches:
            self._flag.poll()
            counts += held_out_counts(self.model, batch.to(self.device), tasks)
        return counts

    def configure_model(self) -> None:
        """Shards the model, where the strategy does so before Lightning places it."""
        self.engine.shard(self, self.model)

    def configure_optimizers(self) -> AdamW:
        return build_optimizer(self.model, self._optim, self._offload_moments)

    def _totals_and_stop(self, parts: Tensor, update: Update) -> Tensor:
        """(2,) both loss sums over all ranks.

        Whether any could not read its streams or was asked to stop, and what the update took, come
        along.
        """
        asked = [float(self._flag.asked == n) for n in SIGNALS]
        unread = float(update.error is not None)
        mine = parts.new_tensor([unread, *asked, *self._meter.own(update.batches)])
        reduced = self._over_ranks(torch.cat([parts.sum(0), mine])).cpu()
        self._unread, *told = reduced[2:].tolist()
        self.stop_signal = next((n for n, on in zip(SIGNALS, told, strict=False) if on), None)
        self._meter.done(told[len(SIGNALS) :])
        return reduced[:2]

    def _figures(self, parts: Tensor, norm: float, lr: float) -> dict[str, float]:
        stream, reply = parts.tolist()
        return {
            f"{TRAIN}loss": reply + self._loss.stream_weight * stream,
            f"{TRAIN}loss_stream": stream,
            f"{TRAIN}loss_reply": reply,
            f"{TRAIN}grad_norm": norm,
            f"{TRAIN}lr": lr,
        }

    def _not_finite(self, update: Update, parts: Tensor) -> NotFinite:
        """What all ranks know about an update that must not be taken."""
        finite = parts.isfinite().all(1).tolist()
        pairs = zip(update.batches, finite, strict=True)
        bad = gathered([i for batch, is_finite in pairs if not is_finite for i in batch.stream_ids])
        if not any(bad):  # every loss is finite, their gradient is not
            bad = gathered([i for batch in update.batches for i in batch.stream_ids])
        values = self.last_update.items()
        told = ", ".join(f"{name.removeprefix('train/')} {v:g}" for name, v in values)
        return NotFinite(self.updates + 1, told, dict(enumerate(bad)))

    def _write(self, values: dict[str, float]) -> None:
        for logger in self.loggers:
            logger.log_metrics(values, step=self.updates)

    def _over_ranks(self, sums: Tensor) -> Tensor:
        if self.engine.world == 1:
            return sums.to(self.device)
        reduced: Tensor = self.trainer.strategy.reduce(sums.to(self.device), reduce_op="sum")
        return reduced
