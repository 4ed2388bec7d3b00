"""What a run measures on held-out streams: teacher-forced counts, and live decoding.

Counts add up over rows, ranks and tasks; figures are computed from the sums.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from soundflow.data.batch import Batch
from soundflow.model.interaction import AudioInteractionModel
from soundflow.model.weights import Checkpoint
from soundflow.train.loss import head_pieces, nats_of, target_states

# Columns of `held_out_counts`.
COUNTS = (
    "decisions", "right", "spoken", "to_speak", "spoken_right",
    "stream_nats", "reply_tokens", "reply_right", "reply_nats",
)  # fmt: skip
TASK, LIVE = "task/", "event_"


@dataclass(frozen=True)
class LiveFigures:
    """What decoding held-out streams through the live engine gave.

    Attributes:
        figures: by name, without `LIVE`.
        calibration: the threshold chosen, as the checkpoint stores it; None where there is none.
        transcripts: what was said, one mapping an event or reply, all with the same keys.
    """

    figures: Mapping[str, float]
    calibration: Mapping[str, Any] | None = None
    transcripts: Sequence[Mapping[str, Any]] = ()


# Called often during long work of one rank; what it raises ends the work on all of them.
Poll = Callable[[], None]
# Called on every rank, which shares out the streams; all ranks get the same.
LiveValidate = Callable[[Checkpoint, Poll], LiveFigures]


@torch.no_grad()
def held_out_counts(model: AudioInteractionModel, batch: Batch, tasks: Sequence[str]) -> Tensor:
    """Teacher-forced counts of a batch by task, (n_tasks, 9) float64 on the CPU.

    A decision is the larger of the two decision logits, as in a session at even odds.
    """
    table, n = model.tokens, batch.decisions
    nats, best, speaks = [], [], []
    for states, targets in head_pieces(model, target_states(model, batch), batch.targets):
        logits = model.logits(states)
        nats.append(nats_of(logits, targets))
        best.append(logits.argmax(-1))
        speaks.append(logits[:, table.text_begin] > logits[:, table.keep_silence])
    loss, spoken = torch.cat(nats).cpu().double(), torch.cat(speaks).cpu()
    right, should = torch.cat(best) == batch.targets, batch.targets == table.text_begin
    right, should = right.cpu(), should.cpu()
    decides = torch.arange(len(loss)) < n
    columns = [
        decides, decides & (spoken == should), decides & spoken, decides & should,
        decides & spoken & should, loss * decides, ~decides, ~decides & right, loss * ~decides,
    ]  # fmt: skip
    by_target = torch.stack([column.double() for column in columns], dim=1)
    stream = torch.searchsorted(batch.starts.cpu().long(), batch.at.cpu(), right=True) - 1
    codes = torch.tensor([tasks.index(task) for task in batch.tasks] or [0])
    counts = torch.zeros(len(tasks), len(COUNTS), dtype=torch.float64)
    return counts.index_add_(0, codes[stream], by_target)


def held_out_figures(
    counts: Tensor, tasks: Sequence[str], stream_weight: float
) -> dict[str, float]:
    """Figures of all streams, and loss parts of every task, from summed counts.

    A rate without a denominator is left out, never 0 or 1.
    """
    n = dict(zip(COUNTS, counts.sum(0).tolist(), strict=True))
    hits = n["spoken_right"]
    rates = {
        "decision_accuracy": _rate(n["right"], n["decisions"]),
        "decision_precision": _rate(hits, n["spoken"]),
        "decision_recall": _rate(hits, n["to_speak"]),
        "decision_f1": _rate(2 * hits, n["spoken"] + n["to_speak"]),
        "reply_token_accuracy": _rate(n["reply_right"], n["reply_tokens"]),
    }
    confusion = {
        "decision_tp": hits,
        "decision_fp": n["spoken"] - hits,
        "decision_fn": n["to_speak"] - hits,
        "decision_tn": n["decisions"] - n["spoken"] - n["to_speak"] + hits,
    }
    found = {k: v for k, v in rates.items() if v is not None}
    found |= _loss_parts(n, stream_weight) | confusion
    for task, row in zip(tasks, counts.tolist(), strict=True):
        parts = _loss_parts(dict(zip(COUNTS, row, strict=True)), stream_weight)
        found |= {f"{TASK}{task}/{name}": value for name, value in parts.items()}
    return found


def _loss_parts(n: Mapping[str, float], stream_weight: float) -> dict[str, float]:
    stream = _rate(n["stream_nats"], n["decisions"])
    reply = _rate(n["reply_nats"], n["reply_tokens"])
    parts = {"loss_stream": stream, "loss_reply": reply}
    whole = (reply or 0.0) + stream_weight * (stream or 0.0)
    return {k: v for k, v in parts.items() if v is not None} | {"loss": whole}


def _rate(part: float, whole: float) -> float | None:
    return part / whole if whole else None
