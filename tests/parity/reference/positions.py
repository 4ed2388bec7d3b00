"""Rotary positions in half precision, as the release counts them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import load_file

from soundflow.model.fp16_positions import set_positions
from soundflow.model.weights import Checkpoint
from tests.parity.reference.features import gap
from tests.parity.reference.rows import Row


def position_rows(goldens: Path, checkpoint: Checkpoint) -> Iterator[Row]:
    gold = load_file(goldens / "rope_long.safetensors")
    model = checkpoint.model
    rotary, logits, exact = 0.0, {}, {}
    try:
        for positions in ("half", "exact"):
            set_positions(model, positions)  # type: ignore[arg-type]
            with torch.inference_mode():
                embeds = model.embed(gold["long_ids"][None])
                found = model.logits(model.hidden(embeds)[0, gold["long_pos"]])
                cos, sin = model.lm.model.rotary_emb(embeds, gold["rows"][None])
            apart = (found[:, gold["logits_ids"]] - gold["long_logits_subset"]).abs().amax(1)
            logits[positions] = apart
            exact[positions] = max(gap(cos[0], gold["cos"]), gap(sin[0], gold["sin"]))
    finally:
        set_positions(model, "exact")
    rotary = exact["half"]
    short = gold["long_pos"] < 2048
    yield Row("rotary table, positions to 4095, half precision", "reference", rotary, 1e-6)
    yield Row("logits of a text of 2304 tokens, half precision", "reference",
              float(logits["half"].max()), 1e-4)  # fmt: skip
    yield Row("the same, exact positions, up to position 2047", "reference",
              float(logits["exact"][short].max()), 1e-4)  # fmt: skip


def exact_difference(goldens: Path, checkpoint: Checkpoint) -> float:
    """Largest logit difference beyond position 2048 with exact positions: what half costs."""
    gold = load_file(goldens / "rope_long.safetensors")
    model = checkpoint.model
    set_positions(model, "exact")
    with torch.inference_mode():
        hidden = model.hidden(model.embed(gold["long_ids"][None]))
        found = model.logits(hidden[0, gold["long_pos"]])[:, gold["logits_ids"]]
    beyond = gold["long_pos"] > 2048
    return gap(found[beyond], gold["long_logits_subset"][beyond])
