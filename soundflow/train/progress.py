"""How far a run is: a moving bar for a person, a line now and then for a log file."""

from __future__ import annotations

import time
from typing import Any, cast

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from soundflow.logs import ERR
from soundflow.train.module import StreamingModule


class Progress(Callback):
    """Shows updates, the newest loss parts and the newest held-out figures on stderr.

    Args:
        every: updates between two lines where stderr is not a terminal.
        total: updates of the whole run.
    """

    def __init__(self, every: int, total: int) -> None:
        self._every = every
        self._total = total
        self._bar: Bar | None = None
        self._task: TaskID | None = None
        self._started = time.perf_counter()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._started = time.perf_counter()
        if trainer.is_global_zero and ERR.is_terminal:
            self._bar = Bar(
                TextColumn("training"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
                TextColumn("{task.fields[note]}"), console=ERR,
            )  # fmt: skip
            self._task = self._bar.add_task("", total=self._total, note="")
            self._bar.start()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        module = cast(StreamingModule, pl_module)
        note = _note(module.last_update)
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=module.updates, note=note)
        elif trainer.is_global_zero and module.updates % self._every == 0:
            self._line(f"update {module.updates}/{self._total}  {note}")

    def held_out(self, trainer: Trainer, module: StreamingModule) -> None:
        """Shows the figures that were just measured."""
        if trainer.is_global_zero:
            self._line(f"held out at {module.updates}:  {_note(module.last_metrics)}")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._stop()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        self._stop()

    def _stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _line(self, text: str) -> None:
        ERR.print(f"{time.perf_counter() - self._started:6.0f} s  {text}", soft_wrap=True)


def _note(values: dict[str, float]) -> str:
    return "  ".join(f"{k.removeprefix('train/')} {v:.3g}" for k, v in values.items())
