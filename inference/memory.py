"""Computes the decoder loop's steps for one session, on a bounded memory."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from inference.dialogue_decoder import Step
from soundflow.model.interaction import AudioInteractionModel
from soundflow.model.kv_memory import KvMemory


class SessionMemory:
    """Everything a session has heard and said, as far as it is remembered.

    Args:
        prefix_ids: the online prefix; never forgotten.
        limit_positions: the positions that training saw; older blocks go when it is reached.
    """

    def __init__(
        self, model: AudioInteractionModel, prefix_ids: Sequence[int], limit_positions: int
    ) -> None:
        self._model = model
        self._kv = KvMemory(model, _embed(model, prefix_ids, ()), limit_positions)

    @property
    def length_positions(self) -> int:
        return self._kv.length_positions

    def run(self, step: Step) -> Tensor:
        """One forward pass: (m, vocabulary) float32 at the newest m of ``step.read``."""
        with torch.inference_mode():
            embeds = _embed(self._model, step.ids, step.slots)
            hidden = self._kv.append(embeds, step.block_starts)
            forgotten = len(step.ids) - len(hidden)
            kept = [at - forgotten for at in step.read if at >= forgotten]
            return self._model.logits(hidden[kept])


def _embed(model: AudioInteractionModel, ids: Sequence[int], slots: Sequence[Tensor]) -> Tensor:
    """(n,) ids and their slots -> (n, d)."""
    with torch.inference_mode():
        row = torch.tensor([list(ids)], dtype=torch.long, device=model.device)
        return model.embed(row, torch.cat(list(slots)) if slots else None)[0]
