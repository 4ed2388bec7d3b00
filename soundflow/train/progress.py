"""How far a run is: a moving bar for a person, a line now and then for a log file."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any, cast

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn
from rich.progress import Progress as Bar
from rich.table import Column

from soundflow.logs import ERR
from soundflow.train.held_out import LIVE
from soundflow.train.metrics import TRAIN
from soundflow.train.module import StreamingModule

# What is told of a validation; all of it is in the metrics.
HEADLINES = {
    "loss": "loss",
    "decision_f1": "decision F1",
    f"{LIVE}f1": "live F1",
    f"{LIVE}recall": "recall",
    f"{LIVE}precision": "precision",
    f"{LIVE}false_per_hour": "false/h",
    f"{LIVE}reply_exact": "replies exact",
    f"{LIVE}reply_wer": "WER",
    f"{LIVE}latency_p50_s": "latency p50 s",
    f"{LIVE}threshold": "threshold",
    f"{LIVE}failures": "failed streams",
}


class Progress(Callback):
    """Shows updates, loss parts, the newest F1, speed and time left on stderr of the first rank.

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
            done = cast(StreamingModule, pl_module).updates
            # On a narrow terminal the end of the note is cut off, and nothing else.
            rest = Column(ratio=1, no_wrap=True, overflow="ellipsis")
            self._bar = Bar(
                BarColumn(12), MofNCompleteColumn(), TextColumn("{task.fields[left]}"),
                TextColumn("{task.fields[note]}", table_column=rest), console=ERR, expand=True,
            )  # fmt: skip
            self._task = self._bar.add_task("", total=self._total, completed=done, left="", note="")
            self._bar.start()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        module = cast(StreamingModule, pl_module)
        if self._bar is not None and self._task is not None:
            self._bar.update(
                self._task, completed=module.updates, left=left(module), note=note(module)
            )
        elif trainer.is_global_zero and module.updates % self._every == 0:
            self._line(f"update {module.updates}/{self._total}  {left(module)}  {note(module)}")

    def held_out(self, trainer: Trainer, module: StreamingModule) -> None:
        """Shows the figures that were just measured."""
        if trainer.is_global_zero:
            found = module.last_metrics
            told = [f"{name} {found[key]:.3g}" for key, name in HEADLINES.items() if key in found]
            self._line(f"held out at {module.updates}:  {'  '.join(told)}")

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


def left(module: StreamingModule) -> str:
    """The time that the updates to come will take; nothing before the first was timed."""
    seconds = module.last_speed.get("left_s")
    return "" if seconds is None else f"{timedelta(seconds=round(seconds))} left"


def note(module: StreamingModule) -> str:
    """The newest figures of a run on one line, the most telling first."""
    loss, speed, held_out = module.last_update, module.last_speed, module.last_metrics
    parts = [
        f"loss {loss[f'{TRAIN}loss']:.3f} (stream {loss[f'{TRAIN}loss_stream']:.3f}, "
        f"reply {loss[f'{TRAIN}loss_reply']:.3f})"
    ]
    if (f1 := held_out.get(f"{LIVE}f1", held_out.get("decision_f1"))) is not None:
        parts.append(f"F1 {f1:.2f}")
    parts.append(f"norm {loss[f'{TRAIN}grad_norm']:.2g}")
    if speed:
        parts.append(f"{speed['tokens_per_s']:,.0f} tok/s")
        if "mfu" in speed:
            parts.append(f"MFU {speed['mfu']:.0%}")
        parts.append(f"data wait {speed['data_wait']:.0%}")
    return "  ".join(parts)
