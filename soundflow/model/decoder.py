"""Calls `Qwen2ForCausalLM`: embeddings in, hidden states out, logits only where needed.

Two rules that fail silently when broken: no 2-D mask beside a cache (a mask that covers only the
new tokens is taken for one of the whole context), and no cache object in a forward that must not
grow it (``use_cache=False`` still appends to it).
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from transformers import DynamicCache, Qwen2Config, Qwen2ForCausalLM
from transformers.models.qwen2.modeling_qwen2 import Qwen2RotaryEmbedding

from soundflow.model.attention import NAME as ATTENTION
from soundflow.model.attention import Segments
from soundflow.model.config import LmConfig


def qwen2_sizes(config: LmConfig, vocab_size: int) -> dict[str, Any]:
    """The sizes as the configs of Qwen2 and of Qwen2.5-Omni's Thinker name them."""
    return {
        "vocab_size": vocab_size,
        "hidden_size": config.width,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.kv_heads,
        "intermediate_size": config.ffn_width,
        "max_position_embeddings": config.max_positions,
        "rope_parameters": {"rope_type": "default", "rope_theta": config.rope_theta},
        "rms_norm_eps": config.norm_eps,
        "tie_word_embeddings": config.tied,
        "initializer_range": config.init_std,
    }


def qwen2_config(config: LmConfig, vocab_size: int) -> Qwen2Config:
    return Qwen2Config(**qwen2_sizes(config, vocab_size), attn_implementation=ATTENTION)


def build_lm(config: LmConfig, vocab_size: int) -> Qwen2ForCausalLM:
    return Qwen2ForCausalLM(qwen2_config(config, vocab_size))


def rotary_table(lm: Qwen2ForCausalLM) -> Qwen2RotaryEmbedding:
    """The rotary frequencies of ``lm``, made anew."""
    return Qwen2RotaryEmbedding(config=lm.config)


def new_cache(lm: Qwen2ForCausalLM) -> DynamicCache:
    return DynamicCache(config=lm.config)


def hidden_states(
    lm: Qwen2ForCausalLM,
    embeds: Tensor,
    position_ids: Tensor | None = None,
    cache: DynamicCache | None = None,
) -> Tensor:
    """Final hidden states, (B, L, d) -> (B, L, d), causal.

    Rows are padded on the right, so the causal mask alone keeps padding out of the past.

    Args:
        position_ids: (B, L) int64; counted on from the cache when None.
        cache: grows by L positions; later calls attend to them.
    """
    out = lm.model(
        inputs_embeds=embeds,
        attention_mask=None,
        position_ids=position_ids,
        past_key_values=cache,
        use_cache=cache is not None,
    )
    hidden: Tensor = out.last_hidden_state
    return hidden


def packed_hidden_states(
    lm: Qwen2ForCausalLM, embeds: Tensor, positions: Tensor, segments: Segments
) -> Tensor:
    """Final hidden states of a packed row, (L, d) -> (L, d), causal inside each stream.

    Args:
        positions: (L,) int64, from 0 in each stream.
    """
    out = lm.model(
        inputs_embeds=embeds[None],
        attention_mask={"full_attention": None},  # given, so that transformers builds none
        position_ids=positions[None],
        use_cache=False,
        segments=segments,
    )
    hidden: Tensor = out.last_hidden_state[0]
    return hidden
