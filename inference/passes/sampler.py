"""From logits to the next tokens of replies, for many sessions at once and on their device.

Every row has its own temperature, top-k, top-p and random number, so that sessions share a pass
and none of them can tell. The chosen tokens stay on the device: the caller fetches them together
with all else that a pass has found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from inference.decoder.sampling import SamplingConfig
from soundflow.protocol.dialogue_state import Legal, Speaking, legal
from soundflow.protocol.tokens import TokenTable


@dataclass(frozen=True)
class Draw:
    """What one row needs: its settings, a number in [0, 1), and whether an emotion is due."""

    config: SamplingConfig
    uniform: float
    emotion: bool


class Sampler:
    """Draws tokens of replies; never an illegal one."""

    def __init__(self, table: TokenTable, device: torch.device) -> None:
        words, emotions = legal(Speaking(1), table), legal(Speaking(0), table)
        masks = [_forbidden(state, table.vocab_size) for state in (words, emotions)]
        self._forbidden = torch.stack(masks).to(device)  # (2, vocabulary)

    def draw(self, logits: Tensor, draws: Sequence[Draw]) -> Tensor:
        """One token a row.

        Args:
            logits: (B, vocabulary) float32.

        Returns:
            (B,) float64: the token, or NaN where the logits hold NaN or infinity.
        """
        rows = [
            (
                d.config.temperature or 1.0,
                d.config.top_k if d.config.temperature else 1,
                d.config.top_p,
                d.uniform,
                d.emotion,
            )
            for d in draws
        ]
        settings = torch.tensor(rows, dtype=torch.float64).to(logits.device, non_blocking=True)
        temperature, top_k, top_p, uniform, emotion = settings.unbind(1)
        # The largest logit is NaN if any is.
        finite = logits.amax(1).isfinite()
        masked = logits.masked_fill(self._forbidden[emotion.long()], float("-inf"))
        widest = min(max(int(row[1]) for row in rows), logits.shape[1])
        best = masked.topk(widest)
        scaled = best.values.double() / temperature.unsqueeze(1)
        beyond = torch.arange(widest, device=logits.device) >= top_k.unsqueeze(1)
        shares = scaled.masked_fill(beyond, float("-inf")).softmax(1)
        before = shares.cumsum(1) - shares
        shares = shares.masked_fill(before >= top_p.unsqueeze(1), 0.0)
        reached = shares.cumsum(1)
        drawn = (reached <= uniform.unsqueeze(1) * reached[:, -1:]).sum(1)
        last = (shares > 0).sum(1) - 1  # shares fall, so zeros are at the end
        token = best.indices.gather(1, drawn.minimum(last).clamp(min=0).unsqueeze(1))[:, 0]
        return token.double().masked_fill(~finite, float("nan"))


def _forbidden(state: Legal, vocab_size: int) -> Tensor:
    if state.only:
        mask = torch.ones(vocab_size, dtype=torch.bool)
        mask[list(state.only)] = False
        return mask
    mask = torch.zeros(vocab_size, dtype=torch.bool)
    mask[list(state.never)] = True
    return mask
