"""The audio tower over a batch of chunks, each chunk alone (protocol section 3).

::

    mel (n, 128, 40) ─convolve─▶ (n, 20, w) ─blocks─▶ (n, 20, w) ─pair mean, proj─▶ (n, 10, d)

transformers runs the attention of its tower chunk by chunk in a Python loop, because its chunks
may differ in length. Ours never do: here the same weights are applied to all chunks at once. A
chunk's output differs from the stock forward, and between batches of other sizes, by rounding
only (below 1e-5 in float32 at unit scale; a test holds it there).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint
from transformers.models.qwen2_5_omni.configuration_qwen2_5_omni import (
    Qwen2_5OmniAudioEncoderConfig,
)
from transformers.models.qwen2_5_omni.modeling_qwen2_5_omni import (
    Qwen2_5OmniAudioAttention,
    Qwen2_5OmniAudioEncoder,
    Qwen2_5OmniAudioEncoderLayer,
    SinusoidsPositionEmbedding,
)

from soundflow.model.attention import dot_product_attention
from soundflow.model.config import AudioEncoderConfig


def tower_config(config: AudioEncoderConfig, output_width: int) -> Qwen2_5OmniAudioEncoderConfig:
    return Qwen2_5OmniAudioEncoderConfig(
        num_mel_bins=config.mel_bins,
        d_model=config.width,
        encoder_layers=config.layers,
        encoder_attention_heads=config.heads,
        encoder_ffn_dim=config.ffn_width,
        max_source_positions=config.max_positions,
        initializer_range=config.init_std,
        output_dim=output_width,
        attn_implementation="sdpa",
    )


def build_tower(config: AudioEncoderConfig, output_width: int) -> Qwen2_5OmniAudioEncoder:
    tower = Qwen2_5OmniAudioEncoder(tower_config(config, output_width))
    # Part of the published weights, used by no forward: it must not wait for a gradient.
    tower.audio_bos_eos_token.requires_grad_(False)
    return tower


def position_table(config: AudioEncoderConfig) -> SinusoidsPositionEmbedding:
    """The sinusoids of a tower, made anew."""
    return SinusoidsPositionEmbedding(config.max_positions, config.width)


# Chunks of one batch. On a CPU, what a layer computes of so many stays in the cache of a core.
BATCH_ON_CPU, BATCH = 32, 256

Block = Callable[[Qwen2_5OmniAudioEncoderLayer, Tensor], Tensor]


def tower_block(layer: Qwen2_5OmniAudioEncoderLayer, x: Tensor) -> Tensor:
    """One layer of the tower: (n, frames / 2, width) -> the same."""
    x = x + _attend(layer.self_attn, layer.self_attn_layer_norm(x))
    hidden = layer.activation_fn(layer.fc1(layer.final_layer_norm(x)))
    out: Tensor = x + layer.fc2(hidden)
    return out


def encode_chunks(
    tower: Qwen2_5OmniAudioEncoder, mel: Tensor, block: Block = tower_block
) -> Tensor:
    """Encoder outputs of ``n`` chunks.

    Args:
        mel: (n, n_mels, frames) float32, every chunk of the same even number of frames.

    Returns:
        (n, frames / 4, d) in the dtype of the tower (or of the active autocast).
    """
    slots: Tensor = tower.proj(tower_states(tower, mel, block))
    return slots


def in_batches(encode: Callable[[Tensor], Tensor], mel: Tensor, device: torch.device) -> Tensor:
    """``encode`` over any number of chunks, (n, n_mels, frames); each is still encoded alone.

    The batches are of about one size: for each size that it meets, oneDNN keeps a kernel.

    Returns:
        (n, frames / 4, d or width), on ``device``.
    """
    at_once = BATCH_ON_CPU if device.type == "cpu" else BATCH
    batches = mel.tensor_split(max(1, -(-len(mel) // at_once)))
    return torch.cat([encode(batch.to(device, non_blocking=True)) for batch in batches])


def tower_states(tower: Qwen2_5OmniAudioEncoder, mel: Tensor, block: Block = tower_block) -> Tensor:
    """What the output projection is given: (n, n_mels, frames) -> (n, frames / 4, width)."""
    x = mel.to(tower.conv1.weight.dtype)
    x = functional.gelu(tower.conv1(x))
    x = functional.gelu(tower.conv2(x)).transpose(1, 2)
    positions = tower.positional_embedding(x.shape[1])
    x = x + positions.to(x.dtype)
    for layer in tower.layers:
        recompute = layer.gradient_checkpointing and tower.training
        x = checkpoint(block, layer, x, use_reentrant=False) if recompute else block(layer, x)
    n, frames, width = x.shape
    pooled = x.view(n, frames // 2, 2, width).mean(dim=2)
    states: Tensor = tower.ln_post(pooled)
    return states


def _attend(attention: Qwen2_5OmniAudioAttention, x: Tensor) -> Tensor:
    """Full attention inside each chunk: (n, frames, w) -> (n, frames, w)."""
    n, frames, width = x.shape
    shape = (n, frames, attention.num_heads, attention.head_dim)
    query = attention.q_proj(x).view(shape).transpose(1, 2)
    key = attention.k_proj(x).view(shape).transpose(1, 2)
    value = attention.v_proj(x).view(shape).transpose(1, 2)
    attended = dot_product_attention(query, key, value, scale=attention.scaling)
    out: Tensor = attention.out_proj(attended.transpose(1, 2).reshape(n, frames, width))
    return out


def encode_chunks_stock(tower: Qwen2_5OmniAudioEncoder, mel: Tensor) -> Tensor:
    """The same through transformers' own forward: the reference, and slower.

    ``feature_lens`` names every chunk on its own; one entry for the whole clip would open
    200-frame windows across chunks.
    """
    n, _, frames = mel.shape
    lengths = torch.full((n,), frames, dtype=torch.long, device=mel.device)
    after_cnn, _ = tower._get_feat_extract_output_lengths(lengths)
    flat = mel.transpose(0, 1).reshape(mel.shape[1], n * frames)
    out: Tensor = tower(
        input_features=flat, feature_lens=lengths, aftercnn_lens=after_cnn
    ).last_hidden_state
    return out.view(n, -1, out.shape[-1])
