"""What happens around updates, in this order.

::

    start ─▶ the state to go on from agreed on ─▶ features cached, where asked for
          ─▶ number format and threads chosen ─▶ state loaded ─▶ measured, where that is missing
    update ─▶ a state named that was being written
          ─▶ state saved, when due, asked to stop or at the end ─▶ stop
          ─▶ held-out streams measured and the page written, when due or at the end

A state is saved before the measurement that falls on the same update, because measuring can take
long: a run that is asked to stop meanwhile gives the measurement up, and one that resumes from such
a state measures first. The figures enter the metrics last: with them a measurement is complete, and
after the last update the run is. A run that stops or ends waits for its state, also where others
are written in the background.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from soundflow.data.datamodule import StreamData
from soundflow.errors import Stopped, UserError
from soundflow.logs import ERR
from soundflow.model.precision import precision_name
from soundflow.train.best import Best, Timing
from soundflow.train.checkpoints import State, States, Unfinished, agreed_state
from soundflow.train.compute import choose_compute
from soundflow.train.encode import encode_streams
from soundflow.train.held_out import LiveFigures
from soundflow.train.loggers import log_transcripts, write_csv
from soundflow.train.metrics import (
    CALIBRATIONS,
    TRANSCRIPTS,
    JsonlLogger,
    append_lines,
    newest_measurement,
)
from soundflow.train.module import NotFinite, StreamingModule
from soundflow.train.progress import Progress
from soundflow.train.ranks import from_first, gathered, together
from soundflow.train.recipe import TrainRecipe
from soundflow.train.stopping import StopFlag

WriteReport = Callable[[Path], object]
# The figure of the validation by which the best state is kept: how well the timing is.
BEST_BY = "event_f1"


class AtIntervals(Callback):
    """Resumes, then saves, stops and measures between updates.

    Args:
        continued: whether the run was started before.
        report: writes the page of the run in an output folder; None: no page.

    Attributes:
        metrics: where the figures of the run go; a resumed run drops those past its state.
        progress: tells a person how far the run is.
    """

    def __init__(
        self,
        recipe: TrainRecipe,
        flag: StopFlag,
        continued: bool,
        report: WriteReport | None = None,
    ) -> None:
        self._report = report
        self._recipe = recipe
        self._states = States(recipe.output, recipe.intervals.keep_last)
        self._state: State | None = None
        self._saved_at = 0
        self._writing: Unfinished | None = None
        self.progress = Progress(recipe.intervals.log_every, recipe.optim.updates)
        self.metrics = JsonlLogger(recipe.output)
        self._flag = flag
        self._measured_at = 0
        self._continued = continued

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Every process goes on from the state, and computes in the way, that the first chose.

        All of them measure at the same time, since they share the memory of the machine.
        """
        module, data = _parts(trainer, pl_module)
        self._state = agreed_state(self._recipe.output)
        module.updates = self._saved_at = self._state.update if self._state else 0
        data.start = module.updates
        self.metrics.keep_until(module.updates)
        self._measured_at = from_first(newest_measurement(self.metrics.path)[0])
        if trainer.is_global_zero and self._continued:
            _say_where(module.updates, self._recipe.optim.updates)
        compute = self._recipe.compute
        if self._state is not None and compute.precision == "auto":
            compute = replace(compute, precision=self._state.precision)
        device = trainer.strategy.root_device
        if data.config.features == "cached":
            encode_streams(data, module.model.to(device), self._flag.poll)
        update = together(lambda: data.whole_update(trainer.global_rank, trainer.world_size))
        assert update is not None  # every rank has one
        ranks = trainer.world_size // trainer.num_nodes
        chosen = choose_compute(compute, module.model.to(device), update.to(device), ranks)
        if trainer.is_global_zero:
            ERR.print(f"computing in {chosen}")
        module.use(from_first(chosen))

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        module, _ = _parts(trainer, pl_module)
        module.engine.attach(trainer, module.model)
        if self._state is not None:
            module.engine.load(self._state.folder, self._state.update)
        self._flag.wait_for_updates()
        if module.updates and self._due(module.updates) and module.updates != self._measured_at:
            self._measure(trainer, module)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        module, _ = _parts(trainer, pl_module)
        intervals, at = self._recipe.intervals, module.updates
        last = at == self._recipe.optim.updates
        stop = None if last else module.stop_signal  # a run that is complete ends by itself
        if self._writing is not None and all(gathered(self._writing.files.done())):
            self._finish_writing()
        if last or stop is not None or at % intervals.save_every == 0:
            self._save(module, wait=last or stop is not None)
        if stop is not None:
            raise Stopped(stop, together=True)  # as every other process does now
        if self._due(at):
            self._measure(trainer, module)

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """A state that is being written outlives an error that every rank raises."""
        if isinstance(exception, NotFinite | UserError):
            self._finish_writing()

    def _due(self, at: int) -> bool:
        """Whether the held-out streams are measured after update ``at``."""
        return at == self._recipe.optim.updates or at % self._recipe.intervals.validate_every == 0

    def _measure(self, trainer: Trainer, module: StreamingModule) -> None:
        _, data = _parts(trainer, module)
        held_out = data.held_out(trainer.global_rank, trainer.world_size)
        if held_out is not None:
            try:
                live = module.measure_held_out(held_out, data.held_out_tasks())
            except Stopped:
                self._save(module, wait=True)
                raise
            if live is not None and trainer.is_global_zero:
                self._write(live, module)
            if BEST_BY in module.last_metrics:
                self._keep_best(trainer, module)
            module.write_held_out()
            self.progress.held_out(trainer, module)
        together(self._show, here=trainer.is_global_zero)

    def _keep_best(self, trainer: Trainer, module: StreamingModule) -> None:
        best = from_first(self._best_with(module))
        if best.update == module.updates:
            self._save(module)
        if trainer.is_global_zero:
            # A kill while its state is written: the run resumes before it, and measures it again.
            self._states.keep_best(best)

    def _show(self) -> None:
        """Writes what shows the metrics to a person."""
        if self._recipe.logging.csv:
            write_csv(self._recipe.output)
        if self._report is not None:
            self._report(self._recipe.output)

    def _best_with(self, module: StreamingModule) -> Best:
        found, at = module.last_metrics, module.updates
        timing = Timing(found[BEST_BY], found.get(f"{BEST_BY}_se", 0.0), found["loss"])
        before = self._states.best_so_far()
        return Best(at, timing, timing) if before is None else before.or_else(at, timing)

    def _write(self, live: LiveFigures, module: StreamingModule) -> None:
        output, at = self._recipe.output, {"update": module.updates}
        rows = [{**at, **line} for line in live.transcripts]
        append_lines(output / TRANSCRIPTS, rows)
        log_transcripts(module.loggers, rows)
        if live.calibration is not None:
            append_lines(output / CALIBRATIONS, [{**at, **live.calibration}])

    def _save(self, module: StreamingModule, *, wait: bool = False) -> None:
        """Saves the state, unless that was done; the one before it is finished first.

        Args:
            wait: whether it must be there afterwards.
        """
        at, precision = module.updates, precision_name(module.compute.dtype)
        if self._saved_at == at:
            if wait:
                self._finish_writing()
            return
        self._finish_writing()
        if self._recipe.intervals.save_in_background and not wait:
            self._writing = self._states.save_in_background(module.engine, at, precision)
        else:
            self._states.save(module.engine, at, precision)
        self._saved_at = at

    def _finish_writing(self) -> None:
        writing, self._writing = self._writing, None
        if writing is not None:
            self._states.finish(writing)


def _say_where(at: int, updates: int) -> None:
    if at == 0:
        ERR.print("no state was saved here: starting at update 1")
    elif at == updates:
        ERR.print(f"all {updates} updates are saved: measuring")
    else:
        ERR.print(f"resuming at update {at + 1} of {updates}")


def _parts(trainer: Trainer, pl_module: LightningModule) -> tuple[StreamingModule, StreamData]:
    return cast(StreamingModule, pl_module), cast(StreamData, trainer.datamodule)  # type: ignore[attr-defined]
