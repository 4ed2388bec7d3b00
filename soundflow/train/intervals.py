"""What happens between two updates, in this order.

::

    update ─▶ state saved, when due or asked to stop ─▶ stop ─▶ held-out streams measured, when due
                                                             └─ after the last update: state saved

A state is saved before the measurement that falls on the same update, because measuring can take
long. A run that resumes from such a state measures first. The last state comes after the last
measurement: with it a run is complete.
"""

from __future__ import annotations

from typing import Any, cast

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from soundflow.data.datamodule import StreamData
from soundflow.logs import ERR
from soundflow.train.checkpoints import States
from soundflow.train.compute import choose_compute
from soundflow.train.module import StreamingModule
from soundflow.train.progress import Progress
from soundflow.train.recipe import TrainRecipe
from soundflow.train.stopping import StopFlag


class AtIntervals(Callback):
    """Chooses how to compute, then saves, stops and measures between updates.

    Args:
        measured_at: the last update whose measurement is in the metrics.
    """

    def __init__(
        self, recipe: TrainRecipe, progress: Progress, flag: StopFlag, measured_at: int
    ) -> None:
        self._recipe = recipe
        self._states = States(recipe.output, recipe.intervals.keep_last)
        self._progress = progress
        self._flag = flag
        self._measured_at = measured_at

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Every process computes as the first one chose to.

        All of them measure at the same time, since they share the memory of the machine.
        """
        module, data = _parts(trainer, pl_module)
        device = trainer.strategy.root_device
        update = data.whole_update(trainer.global_rank, trainer.world_size).to(device)
        ranks = trainer.world_size // trainer.num_nodes
        chosen = choose_compute(self._recipe.compute, module.model.to(device), update, ranks)
        if trainer.is_global_zero:
            ERR.print(f"computing in {chosen}")
        module.use(trainer.strategy.broadcast(chosen))

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._flag.wait_for_updates()
        at = trainer.global_step
        if at and at % self._recipe.intervals.validate_every == 0 and at != self._measured_at:
            self._measure(trainer, pl_module)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        module, _ = _parts(trainer, pl_module)
        intervals, at = self._recipe.intervals, trainer.global_step
        last = at == trainer.max_steps
        stop = None if last else module.stop_signal  # a run that is complete ends by itself
        if stop is not None or (at % intervals.save_every == 0 and not last):
            self._states.save(trainer)
        if stop is not None:
            self._flag.leave_together(stop)
        if last or at % intervals.validate_every == 0:
            self._measure(trainer, pl_module)
        if last:
            self._states.save(trainer)

    def _measure(self, trainer: Trainer, pl_module: LightningModule) -> None:
        module, data = _parts(trainer, pl_module)
        held_out = data.held_out(trainer.global_rank, trainer.world_size)
        if held_out is not None:
            module.measure_held_out(held_out)
            self._progress.held_out(trainer, module)


def _parts(trainer: Trainer, pl_module: LightningModule) -> tuple[StreamingModule, StreamData]:
    return cast(StreamingModule, pl_module), cast(StreamData, trainer.datamodule)  # type: ignore[attr-defined]
