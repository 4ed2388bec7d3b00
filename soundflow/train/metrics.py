"""What a run measures beside its loss, and the file it goes to."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor

from soundflow.atomic import disk_error, write_text
from soundflow.data.batch import Batch
from soundflow.model.interaction import AudioInteractionModel
from soundflow.train.loss import head_pieces, nats_of, target_states

FILE_NAME = "metrics.jsonl"
VALID = "valid/"
BF16 = "train/bf16"  # whether an update was computed in bfloat16

# Columns of `held_out_counts`, all sums, so that batches and ranks add up.
COUNTS = (
    "decisions", "right", "spoken", "to_speak", "spoken_right",
    "stream_nats", "reply_tokens", "reply_right", "reply_nats",
)  # fmt: skip


@torch.no_grad()
def held_out_counts(model: AudioInteractionModel, batch: Batch) -> Tensor:
    """Teacher-forced counts of a batch, (9,) float64, columns as in `COUNTS`.

    A decision is the larger of the two decision logits, as in a session at even odds.
    """
    table, n = model.tokens, batch.decisions
    nats, best, speaks = [], [], []
    for states, targets in head_pieces(model, target_states(model, batch), batch.targets):
        logits = model.logits(states)
        nats.append(nats_of(logits, targets).double())
        best.append(logits.argmax(-1))
        speaks.append(logits[:, table.text_begin] > logits[:, table.keep_silence])
    spoken, should = torch.cat(speaks)[:n], batch.targets[:n] == table.text_begin
    said = torch.cat(best)[n:] == batch.targets[n:]
    loss = torch.cat(nats)
    return torch.stack([
        loss.new_tensor(n), (spoken == should).sum(), spoken.sum(), should.sum(),
        (spoken & should).sum(), loss[:n].sum(),
        loss.new_tensor(batch.reply_tokens), said.sum(), loss[n:].sum(),
    ])  # fmt: skip


def held_out_metrics(counts: Tensor, stream_weight: float) -> dict[str, float]:
    """Rates from summed counts. A rate without a denominator is left out, never 0 or 1."""
    n = dict(zip(COUNTS, counts.tolist(), strict=True))
    rates = {
        "decision_accuracy": _rate(n["right"], n["decisions"]),
        "decision_precision": _rate(n["spoken_right"], n["spoken"]),
        "decision_recall": _rate(n["spoken_right"], n["to_speak"]),
        "decision_f1": _rate(2 * n["spoken_right"], n["spoken"] + n["to_speak"]),
        "reply_token_accuracy": _rate(n["reply_right"], n["reply_tokens"]),
        "loss_stream": _rate(n["stream_nats"], n["decisions"]),
        "loss_reply": _rate(n["reply_nats"], n["reply_tokens"]),
    }
    parts = (rates["loss_reply"] or 0.0) + stream_weight * (rates["loss_stream"] or 0.0)
    return {k: v for k, v in rates.items() if v is not None} | {"loss": parts}


def _rate(part: float, whole: float) -> float | None:
    return part / whole if whole else None


class JsonlLogger(Logger):
    """One JSON object a line: ``{"update": 40, "train/loss": 1.2, ...}``.

    A resumed run first drops the lines past the update it resumes from (`keep_until`), so the file
    reads like that of an unbroken run.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.path = folder / FILE_NAME

    @property
    def name(self) -> str:
        return "jsonl"

    @property
    def version(self) -> str:
        return ""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        try:
            with self.path.open("a") as file:
                file.write(json.dumps({"update": step, **metrics}) + "\n")
        except OSError as error:
            raise disk_error(error, self.path) from error

    def log_hyperparams(
        self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any
    ) -> None:
        """The recipe lies beside the file already."""

    @rank_zero_only
    def keep_until(self, update: int) -> None:
        """Drops the lines past ``update``; all of them where it is 0."""
        kept = [r for r in read_metrics(self.path) if r["update"] <= update] if update else []
        write_text(self.path, "".join(json.dumps(r) + "\n" for r in kept))


def newest_measurement(path: Path, until: int | None = None) -> tuple[int, dict[str, float]]:
    """The update of the last held-out figures and the figures; 0 and none where there are none.

    Args:
        until: later updates do not count; None: all do.
    """
    for row in reversed(read_metrics(path)):
        if until is not None and row["update"] > until:
            continue
        found = {k.removeprefix(VALID): v for k, v in row.items() if k.startswith(VALID)}
        if found:
            return row["update"], found
    return 0, {}


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of a metrics file; a last line cut short by a crash is left out."""
    if not path.is_file():
        return []
    lines = path.read_text().splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]
