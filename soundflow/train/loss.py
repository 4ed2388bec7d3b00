"""The dual loss (paper section "Training"): ``L = L_LM + lambda * L_stream``.

L_stream is the cross-entropy at the decisions (KEEP_SILENCE or TEXT_BEGIN), L_LM that at emotion,
text and TEXT_END of the replies. Each is a mean over the targets of the *whole* update: with
several micro-batches or ranks, sums are taken first and divided once by the global counts, so an
update means the same however it was cut.

The head runs at supervised positions only, which with a large vocabulary is most of the memory.
"""

from __future__ import annotations

from dataclasses import dataclass

import pydantic.dataclasses
import torch
from pydantic import NonNegativeFloat
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from soundflow.config.settings import SETTINGS
from soundflow.data.batch import Batch
from soundflow.model.attention import Segments
from soundflow.model.interaction import AudioInteractionModel

HEAD_ELEMENTS = 1 << 26  # logits held at once: 0.25 GiB of float32


@pydantic.dataclasses.dataclass(frozen=True, config=SETTINGS)
class LossConfig:
    """``stream_weight`` is lambda (published: 1.0; neighbours 0.5 and 2.0)."""

    stream_weight: NonNegativeFloat = 1.0


@dataclass(frozen=True)
class LossSums:
    """Sums over the targets of one batch, in nats. Both are scalars with gradient."""

    stream: Tensor
    reply: Tensor

    def combined(self, decisions: int, reply_tokens: int, config: LossConfig) -> Tensor:
        """This batch's share of the update's loss.

        Args:
            decisions, reply_tokens: targets of the whole update, over all ranks.
        """
        stream = self.stream / max(1, decisions)
        share: Tensor = self.reply / max(1, reply_tokens) + config.stream_weight * stream
        return share


def target_states(model: AudioInteractionModel, batch: Batch) -> Tensor:
    """(n_targets, d): the hidden states that predict the targets of a batch."""
    segments = Segments(batch.starts, batch.lengths)
    hidden: Tensor = model(
        batch.ids, batch.positions, segments, batch.slots, batch.mel, batch.states
    )
    return hidden.index_select(0, batch.at)


def loss_sums(model: AudioInteractionModel, batch: Batch) -> LossSums:
    """One forward pass."""
    states = target_states(model, batch)
    pieces = head_pieces(model, states, batch.targets)
    nats = [
        checkpoint(cross_entropy, model, *piece, use_reentrant=False)
        if len(pieces) > 1
        else cross_entropy(model, *piece)
        for piece in pieces
    ]
    joined = torch.cat(nats)
    return LossSums(joined[: batch.decisions].sum(), joined[batch.decisions :].sum())


def head_pieces(
    model: AudioInteractionModel, states: Tensor, targets: Tensor
) -> list[tuple[Tensor, Tensor]]:
    """States (n, d) and their targets (n,) in pieces whose logits fit in `HEAD_ELEMENTS`."""
    rows = max(1, HEAD_ELEMENTS // model.tokens.vocab_size)
    return list(zip(torch.split(states, rows), torch.split(targets, rows), strict=True))


def cross_entropy(model: AudioInteractionModel, states: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy in nats of each target, (n, d) and (n,) -> (n,) float32."""
    return nats_of(model.logits(states), targets)


def nats_of(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy from (n, vocabulary) float32 logits, (n,) float32.

    `torch.logsumexp` adds pairwise. The CPU kernel behind `functional.cross_entropy` adds the
    exponentials of the whole vocabulary one after another in float32, a vector register wide: at
    151 936 ids it is off by up to 5e-4 nats, and by another amount on another processor.
    """
    return logits.logsumexp(-1) - logits.gather(-1, targets[:, None])[:, 0]
