"""The dual loss (paper section "Training"): ``L = L_LM + lambda * L_stream``.

L_stream is the cross-entropy at the decisions (KEEP_SILENCE or TEXT_BEGIN), L_LM that at emotion,
text and TEXT_END of the replies. Each is a mean over the targets of the *whole* update: with
several micro-batches or ranks, sums are taken first and divided once by the global counts, so an
update means the same however it was cut.

The head runs at supervised positions only, which with a large vocabulary is most of the memory.
Logits are held once: their gradient is written over them. More than `HEAD_ELEMENTS` of them are
computed in pieces, a second time in the backward pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.utils.checkpoint import checkpoint

from soundflow.data.batch import Batch
from soundflow.model.attention import Segments
from soundflow.model.interaction import AudioInteractionModel
from soundflow.train.recipe import LossConfig

HEAD_ELEMENTS = 1 << 28  # logits held at once: 1 GiB of float32
# Logits that one operation takes: a processor's cache holds them; a GPU is busy for longer than it
# takes to start the next one.
_BLOCK_ELEMENTS, _BLOCK_ELEMENTS_ON_GPU = 1 << 20, 1 << 26


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
    segments = Segments.of(batch.starts, batch.lengths)
    hidden: Tensor = model(
        batch.ids, batch.positions, segments, batch.slots, batch.mel, batch.states
    )
    return hidden.index_select(0, batch.at)


def loss_sums(model: AudioInteractionModel, batch: Batch) -> LossSums:
    """One forward pass."""
    nats = target_nats(model, target_states(model, batch), batch.targets)
    return LossSums(nats[: batch.decisions].sum(), nats[batch.decisions :].sum())


def target_nats(model: AudioInteractionModel, states: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy in nats of each target, from states (n, d) and ids (n,), (n,) float32."""
    pieces = head_pieces(model, states, targets)
    if len(pieces) == 1:
        return cross_entropy(model, states, targets)
    return torch.cat(
        [checkpoint(cross_entropy, model, *piece, use_reentrant=False) for piece in pieces]
    )


def head_pieces(
    model: AudioInteractionModel, states: Tensor, targets: Tensor
) -> list[tuple[Tensor, Tensor]]:
    """States (n, d) and their targets (n,) in pieces whose logits fit in `HEAD_ELEMENTS`."""
    rows = max(1, HEAD_ELEMENTS // model.tokens.vocab_size)
    return list(zip(torch.split(states, rows), torch.split(targets, rows), strict=True))


def cross_entropy(model: AudioInteractionModel, states: Tensor, targets: Tensor) -> Tensor:
    """The same at once."""
    return nats_of(model.logits(states), targets)


def nats_of(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy from (n, vocabulary) float32 logits, (n,) float32.

    A backward pass overwrites the logits, and can be taken once.

    `torch.logsumexp` adds pairwise. The CPU kernel behind `functional.cross_entropy` adds the
    exponentials of the whole vocabulary one after another in float32, a vector register wide: at
    151 936 ids it is off by up to 5e-4 nats, and by another amount on another processor.
    """
    nats: Tensor = _Nats.apply(logits, targets)  # type: ignore[no-untyped-call]
    return nats


class _Nats(torch.autograd.Function):
    """``logsumexp(logits) - logits[target]``; its gradient is ``softmax(logits) - onehot(target)``.

    torch's own operations would hold the logits, their exponentials and the gradient at the same
    time, and take twice as long: with a large vocabulary that is the time to get the memory.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor) -> Tensor:
        elements = _BLOCK_ELEMENTS_ON_GPU if logits.is_cuda else _BLOCK_ELEMENTS
        rows = max(1, elements // logits.shape[1])
        norms = torch.cat([block.logsumexp(-1) for block in torch.split(logits, rows)])
        ctx.rows = rows
        ctx.save_for_backward(logits, targets, norms)
        return norms - logits.gather(-1, targets[:, None])[:, 0]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, shares: Tensor) -> tuple[Tensor, None]:
        saved, targets, norms = ctx.saved_tensors
        gradient: Tensor = saved.detach()
        parts = (torch.split(x, ctx.rows) for x in (gradient, norms[:, None], shares[:, None]))
        for block, norm, share in zip(*parts, strict=True):
            block.sub_(norm).exp_().mul_(share)
        at = targets[:, None]
        gradient.scatter_(-1, at, gradient.gather(-1, at) - shares[:, None])
        return gradient, None
