"""What every tensor is called in each form: one table a form, read in both directions.

A table maps a name of the form to ours. Where several of ours stand side by side, the form's
tensor is theirs stacked by rows: litgpt keeps query, key and value in one matrix, all rows of the
query first::

    transformer.h.3.attn.qkv.weight  =  [ lm.model.layers.3.self_attn.q_proj.weight ]
                                        [ lm.model.layers.3.self_attn.k_proj.weight ]
                                        [ lm.model.layers.3.self_attn.v_proj.weight ]
"""

from __future__ import annotations

import torch

from soundflow.model.config import ModelConfig
from soundflow.model.interaction import AudioInteractionModel
from soundflow.model.weights import TIED_KEY
from soundflow.protocol.tokens import TokenTable

NameTable = dict[str, tuple[str, ...]]
Shapes = dict[str, tuple[int, ...]]

TOWER = "audio_tower."
EMBEDDING = "lm.model.embed_tokens.weight"
OVER_VOCABULARY = (EMBEDDING, TIED_KEY)  # one row for each id

_RELEASE_LAYER = {
    "norm_1.weight": ("input_layernorm.weight",),
    "norm_2.weight": ("post_attention_layernorm.weight",),
    "attn.qkv.weight": tuple(f"self_attn.{p}_proj.weight" for p in "qkv"),
    "attn.qkv.bias": tuple(f"self_attn.{p}_proj.bias" for p in "qkv"),
    "attn.proj.weight": ("self_attn.o_proj.weight",),
    "mlp.fc_1.weight": ("mlp.gate_proj.weight",),
    "mlp.fc_2.weight": ("mlp.up_proj.weight",),
    "mlp.proj.weight": ("mlp.down_proj.weight",),
}


def our_shapes(config: ModelConfig, tokens: TokenTable) -> Shapes:
    """Every tensor of our model by name; a tied head is not stored."""
    with torch.device("meta"):
        state = AudioInteractionModel(config, tokens).state_dict()
    if config.lm.tied:
        state.pop(TIED_KEY)
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


def our_names(shapes: Shapes) -> NameTable:
    return {name: (name,) for name in shapes}


def release_names(config: ModelConfig, shapes: Shapes) -> NameTable:
    """The published release: litgpt's names, and the tower's own below ``audio_tower.``.

    A release always holds its head, so the head of a tied model is its embedding, written twice.
    """
    table: NameTable = {
        "transformer.wte.weight": (EMBEDDING,),
        "transformer.ln_f.weight": ("lm.model.norm.weight",),
        "lm_head.weight": (EMBEDDING if config.lm.tied else TIED_KEY,),
    }
    for layer in range(config.lm.layers):
        for theirs, ours in _RELEASE_LAYER.items():
            stacked = tuple(f"lm.model.layers.{layer}.{name}" for name in ours)
            table[f"transformer.h.{layer}.{theirs}"] = stacked
    return table | _tower_names(shapes)


def thinker_names(shapes: Shapes) -> NameTable:
    """Qwen2.5-Omni's Thinker as it is saved: ``model.*``, ``lm_head``, ``audio_tower.*``."""
    return plain_names(shapes) | _tower_names(shapes)


def plain_names(shapes: Shapes) -> NameTable:
    """The language model alone, as Qwen2ForCausalLM names it."""
    return {name.removeprefix("lm."): (name,) for name in shapes if name.startswith("lm.")}


def tower_only(shapes: Shapes) -> NameTable:
    """The tower alone, as Qwen2_5OmniAudioEncoder names it."""
    return {k.removeprefix(TOWER): v for k, v in _tower_names(shapes).items()}


def _tower_names(shapes: Shapes) -> NameTable:
    ours = (name for name in shapes if name.startswith("encoder."))
    return {TOWER + name.removeprefix("encoder."): (name,) for name in ours}
