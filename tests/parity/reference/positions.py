"""Rotary positions in half precision, as the release counts them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from inference.passes.positions import rotary_positions
from inference.profiles import Positions
from soundflow.model.interaction import AudioInteractionModel
from soundflow.model.weights import Checkpoint
from tests.parity.reference.features import gap
from tests.parity.reference.rows import Row

MODES: tuple[Positions, ...] = ("half", "exact")


def position_rows(goldens: Path, checkpoint: Checkpoint) -> Iterator[Row]:
    gold = load_file(goldens / "rope_long.safetensors")
    model = checkpoint.model
    logits = {mode: _apart(model, gold, mode) for mode in MODES}
    turned = rotary_positions(gold["rows"][None], "half")
    cos, sin = model.lm.model.rotary_emb(model.embed(gold["long_ids"][None]), turned)
    rotary = max(gap(cos[0], gold["cos"]), gap(sin[0], gold["sin"]))
    short = gold["long_pos"] < 2048
    yield Row("rotary table, positions to 4095, half precision", "reference", rotary, 1e-6)
    yield Row("logits of a text of 2304 tokens, half precision", "reference",
              float(logits["half"].max()), 1e-4)  # fmt: skip
    yield Row("the same, exact positions, up to position 2047", "reference",
              float(logits["exact"][short].max()), 1e-4)  # fmt: skip


def exact_difference(goldens: Path, checkpoint: Checkpoint) -> float:
    """Largest logit difference beyond position 2048 with exact positions: what half costs."""
    gold = load_file(goldens / "rope_long.safetensors")
    beyond = gold["long_pos"] > 2048
    return float(_apart(checkpoint.model, gold, "exact")[beyond].max())


@torch.inference_mode()
def _apart(model: AudioInteractionModel, gold: dict[str, Tensor], mode: Positions) -> Tensor:
    """Largest difference from the recorded logits at each recorded position of the long text."""
    embeds = model.embed(gold["long_ids"][None])
    places = torch.arange(embeds.shape[1])[None]
    hidden = model.hidden(embeds, rotary_positions(places, mode), model.new_cache())
    found = model.logits(hidden[0, gold["long_pos"]])[:, gold["logits_ids"]]
    return (found - gold["long_logits_subset"]).abs().amax(1)
