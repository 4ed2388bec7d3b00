"""Small real Qwen2.5-Omni checkpoints, saved by transformers itself in several shards."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import torch
from transformers import (
    Qwen2_5OmniForConditionalGeneration,
    Qwen2_5OmniThinkerForConditionalGeneration,
)
from transformers.models.qwen2_5_omni.configuration_qwen2_5_omni import (
    Qwen2_5OmniConfig,
    Qwen2_5OmniThinkerConfig,
)

from soundflow.text.tiny import TOKENIZER_FILE, tiny_table

AUDIO = {
    "d_model": 32, "encoder_layers": 2, "encoder_attention_heads": 2, "encoder_ffn_dim": 64,
    "output_dim": 48, "num_mel_bins": 128, "max_source_positions": 64,
}  # fmt: skip
TEXT = {
    "vocab_size": tiny_table().vocab_size, "hidden_size": 48, "intermediate_size": 80,
    "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "rope_parameters": {
        "rope_type": "default", "rope_theta": 1_000_000.0, "mrope_section": [2, 2, 2],
    },
}  # fmt: skip
VISION = {
    "depth": 1, "hidden_size": 32, "intermediate_size": 32, "num_heads": 2,
    "out_hidden_size": 48, "fullatt_block_indexes": [0],
}  # fmt: skip


# The parts that speak.
TALKER = {
    "vocab_size": 64, "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1,
    "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 8, "embedding_size": 48,
    "max_position_embeddings": 64,
}  # fmt: skip
TOKEN2WAV = {
    "dit_config": {
        "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "head_dim": 8,
        "ff_mult": 1, "emb_dim": 8, "enc_emb_dim": 8, "enc_dim": 8, "mel_dim": 8,
        "enc_channels": [8, 8, 8, 8, 24], "enc_attention_channels": 8,
    },
    "bigvgan_config": {
        "mel_dim": 8, "upsample_initial_channel": 8, "upsample_rates": [2],
        "upsample_kernel_sizes": [4], "resblock_kernel_sizes": [3],
        "resblock_dilation_sizes": [[1, 3, 5]],
    },
}  # fmt: skip


def thinker_config(
    tied: bool = False, vocab_size: int = TEXT["vocab_size"]
) -> Qwen2_5OmniThinkerConfig:
    text = {**TEXT, "vocab_size": vocab_size, "tie_word_embeddings": tied}
    config = Qwen2_5OmniThinkerConfig(audio_config=AUDIO, text_config=text, vision_config=VISION)
    config.tie_word_embeddings = tied
    return config


def save_thinker(
    folder: Path, tied: bool = False, dtype: torch.dtype = torch.bfloat16, seed: int = 0
) -> Path:
    torch.manual_seed(seed)
    model = Qwen2_5OmniThinkerForConditionalGeneration(thinker_config(tied))
    return _save(folder, model, dtype)


def save_omni(
    folder: Path, dtype: torch.dtype = torch.bfloat16, vocab_size: int = TEXT["vocab_size"]
) -> Path:
    """The whole model with all its parts, its config nested and named as it was published."""
    torch.manual_seed(0)
    thinker = thinker_config(vocab_size=vocab_size).to_dict()
    config = Qwen2_5OmniConfig(
        thinker_config=thinker, talker_config=TALKER, token2wav_config=TOKEN2WAV
    )
    _save(folder, Qwen2_5OmniForConditionalGeneration(config), dtype)
    saved = json.loads((folder / "config.json").read_text())
    text = saved["thinker_config"]["text_config"]
    rope = text.pop("rope_parameters")  # of transformers 5
    text["rope_theta"] = rope.pop("rope_theta")
    text["rope_scaling"] = {**rope, "type": rope["rope_type"]}
    (folder / "config.json").write_text(json.dumps(saved))
    return folder


def _save(folder: Path, model: torch.nn.Module, dtype: torch.dtype) -> Path:
    # Default initialisation is so small that wrong weights would hardly show in the logits.
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1 and "embed_tokens" not in name:
                parameter.mul_(5.0)
    model.to(dtype).save_pretrained(folder, max_shard_size="100KB")  # type: ignore[operator]
    (folder / "tokenizer.json").write_bytes(TOKENIZER_FILE.read_bytes())
    (folder / "token_table.json").write_text(json.dumps(asdict(tiny_table())))
    return folder
