"""A language model and an audio tower that were not made for each other, as one checkpoint.

::

    FOLDER/               Qwen2ForCausalLM, or LlamaForCausalLM: a Qwen2 whose biases are zero
    FOLDER/audio_tower/   Qwen2_5OmniAudioEncoder, or Whisper, whose encoder is the same tower

What neither of them has is made here: the biases, and the projection of a tower whose outputs have
another width than the language model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from soundflow.forms.tensor_names import TOWER
from soundflow.model.config import LmConfig, ModelConfig
from soundflow.model.stored_tensors import StoredTensor, StoredTensors

TOWER_KINDS = ("qwen2_5_omni_audio_encoder", "whisper")  # as their config.json names them
# What of a Whisper has no place in the tower; its positions are the sinusoids that ours computes.
NOT_OF_A_TOWER = tuple(
    f"{TOWER}{part}."
    for part in (
        "decoder", "model.decoder", "encoder.embed_positions", "model.encoder.embed_positions",
        "proj_out",
    )
)  # fmt: skip
_SEED = 0


def zero_biases(lm: LmConfig, file: Path) -> dict[str, StoredTensor]:
    """The biases that a Llama's attention does not have and a Qwen2's does."""
    head = lm.width // lm.heads
    rows = {"q": lm.heads * head, "k": lm.kv_heads * head, "v": lm.kv_heads * head}
    return {
        f"model.layers.{layer}.self_attn.{part}_proj.bias": _made(file, (n,), torch.zeros)
        for layer in range(lm.layers)
        for part, n in rows.items()
    }


def tower_tensors(stored: StoredTensors, config: Mapping[str, Any]) -> dict[str, StoredTensor]:
    """The tensors of a tower below `TOWER`, a Whisper's by the names of ours."""
    if config.get("model_type") != "whisper":
        return {TOWER + name: tensor for name, tensor in stored.items()}
    return {TOWER + _whisper_name(name): tensor for name, tensor in stored.items()}


def new_projection(model: ModelConfig, file: Path) -> dict[str, StoredTensor]:
    """A random projection to the width of the language model; the same one each time."""
    tower, width = model.audio_encoder, model.lm.width
    draw = partial(_normal, std=tower.width**-0.5)
    return {
        f"{TOWER}proj.weight": _made(file, (width, tower.width), draw),
        f"{TOWER}proj.bias": _made(file, (width,), torch.zeros),
        f"{TOWER}audio_bos_eos_token.weight": _made(file, (2, width), torch.zeros),
    }


def _whisper_name(name: str) -> str:
    inner = name.removeprefix("model.")
    if not inner.startswith("encoder.") or inner.startswith("encoder.embed_positions."):
        return name
    inner, norm = inner.removeprefix("encoder."), "layer_norm."
    return inner.replace(norm, "ln_post.", 1) if inner.startswith(norm) else inner


def _made(
    file: Path, shape: tuple[int, ...], make: Callable[[tuple[int, ...]], Tensor]
) -> StoredTensor:
    return StoredTensor(file, shape, torch.float32, partial(make, shape))


def _normal(shape: tuple[int, ...], std: float) -> Tensor:
    generator = torch.Generator().manual_seed(_SEED)
    return std * torch.randn(shape, generator=generator)
