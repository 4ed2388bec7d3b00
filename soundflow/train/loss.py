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
from soundflow.model.interaction import AudioInteractionModel
from soundflow.protocol.layout import Role

HEAD_ELEMENTS = 1 << 27  # logits held at once: 0.5 GiB of float32


@pydantic.dataclasses.dataclass(frozen=True, config=SETTINGS)
class LossConfig:
    """``stream_weight`` is lambda (published: 1.0; neighbours 0.5 and 2.0)."""

    stream_weight: NonNegativeFloat = 1.0


@dataclass(frozen=True)
class LossSums:
    """Sums over the targets of one batch, in nats. Both are scalars with gradient."""

    stream: Tensor
    reply: Tensor

    def combined(self, counts: Tensor, config: LossConfig) -> Tensor:
        """This batch's share of the update's loss.

        Args:
            counts: (2,) decisions and reply tokens of the whole update, over all ranks.
        """
        decisions, replies = counts.clamp(min=1)
        share: Tensor = self.reply / replies + config.stream_weight * self.stream / decisions
        return share


def target_counts(batch: Batch) -> Tensor:
    """(2,) float64: decisions and reply tokens in a batch."""
    roles = batch.roles[:, 1:]
    return torch.stack([(roles == Role.DECISION).sum(), (roles == Role.REPLY).sum()]).double()


def loss_sums(model: AudioInteractionModel, batch: Batch) -> LossSums:
    """One forward pass. The token at position t + 1 is predicted from the hidden state at t."""
    hidden = model(batch.ids, batch.mel)[:, :-1]
    roles = batch.roles[:, 1:]
    supervised = roles != Role.CONTEXT
    nats = head_cross_entropy(model, hidden[supervised], batch.ids[:, 1:][supervised])
    kind = roles[supervised]
    return LossSums(nats[kind == Role.DECISION].sum(), nats[kind == Role.REPLY].sum())


def head_cross_entropy(model: AudioInteractionModel, hidden: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy in nats of each target, (n, d) and (n,) -> (n,) float32.

    A large head is taken in pieces whose logits are computed again in the backward pass.

    `torch.logsumexp` adds pairwise. The CPU kernel behind `functional.cross_entropy` adds the
    exponentials of the whole vocabulary one after another in float32, a vector register wide: at
    151 936 ids it is off by up to 5e-4 nats, and by another amount on another processor.
    """

    def piece(states: Tensor, ids: Tensor) -> Tensor:
        logits = model.logits(states)
        return logits.logsumexp(-1) - logits.gather(-1, ids[:, None])[:, 0]

    rows = max(1, HEAD_ELEMENTS // model.tokens.vocab_size)
    if len(hidden) <= rows:
        return piece(hidden, targets)
    pieces = zip(torch.split(hidden, rows), torch.split(targets, rows), strict=True)
    return torch.cat([checkpoint(piece, h, t, use_reentrant=False) for h, t in pieces])
