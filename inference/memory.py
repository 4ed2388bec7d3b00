"""Computes the steps of a dialogue decoder for one session, on a bounded memory."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from inference.dialogue_decoder import Step
from inference.engine import Engine
from soundflow.errors import UserError
from soundflow.model.interaction import AudioInteractionModel
from soundflow.model.kv_memory import KvMemory

# ASSISTANT, TEXT_BEGIN, an emotion, TEXT_END and AUDIO_BEGIN around the slots of a chunk.
CONTROL_TOKENS_PER_BLOCK = 5


class SessionMemory:
    """The key/value memory of a session: the prefix and the newest blocks.

    Args:
        prefix_ids: the online prefix; never dropped.
        limit_positions: the bound of the memory; the oldest blocks are dropped when it is reached.

    Raises:
        UserError: if the prefix and one answered chunk do not fit, naming the number needed.
    """

    def __init__(self, engine: Engine, prefix_ids: Sequence[int], limit_positions: int) -> None:
        _require_room(engine, len(prefix_ids), limit_positions)
        self._model = engine.model
        self._kv = KvMemory(
            engine.model,
            _embed(engine.model, prefix_ids, ()),
            limit_positions,
            positions=engine.profile.positions,
        )

    @property
    def length_positions(self) -> int:
        return self._kv.length_positions

    @property
    def trimmed_blocks(self) -> int:
        """Blocks dropped so far to stay within the limit."""
        return self._kv.dropped_blocks

    @property
    def trims(self) -> int:
        """How often something was dropped: whole blocks, or the middle of a long reply."""
        return self._kv.rebuilds

    def run(self, step: Step) -> Tensor:
        """One forward pass: (m, vocabulary) float32 at the newest m of ``step.read``."""
        with torch.inference_mode():
            embeds = _embed(self._model, step.ids, step.slots)
            hidden = self._kv.append(embeds, step.block_starts)
            dropped = len(step.ids) - len(hidden)
            kept = [at - dropped for at in step.read if at >= dropped]
            return self._model.logits(hidden[kept])


def _require_room(engine: Engine, prefix: int, limit: int) -> None:
    # A rebuild keeps half of the limit: the prefix and the newest blocks.
    block = engine.spec.time.slots_per_chunk + CONTROL_TOKENS_PER_BLOCK
    needed = 2 * (prefix + block)
    if limit >= needed:
        return
    what = f"the instruction takes {prefix} positions and an answered chunk {block}"
    if limit < engine.limit_positions:
        raise UserError(
            f"session.limit_positions={limit} is too small: {what}, so at least "
            f"{needed} are needed",
            f"set session.limit_positions to {needed} or more, or leave it out",
        )
    raise UserError(
        f"the instruction is too long: {what}, so {needed} are needed, and this model was trained "
        f"to {engine.limit_positions}",
        "shorten session.system",
    )


def _embed(model: AudioInteractionModel, ids: Sequence[int], slots: Sequence[Tensor]) -> Tensor:
    """(n,) ids and their slots -> (n, d)."""
    with torch.inference_mode():
        row = torch.tensor([list(ids)], dtype=torch.long, device=model.device)
        return model.embed(row, torch.cat(list(slots)) if slots else None)[0]
