"""A Llama or Qwen2 with the tower of a Qwen2.5-Omni or a Whisper computes what both did alone."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Literal

import pytest
import torch
from torch.nn import functional
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    WhisperConfig,
    WhisperForConditionalGeneration,
)
from transformers.models.qwen2_5_omni.configuration_qwen2_5_omni import (
    Qwen2_5OmniAudioEncoderConfig,
)
from transformers.models.qwen2_5_omni.modeling_qwen2_5_omni import Qwen2_5OmniAudioEncoder

from soundflow.errors import UserError
from soundflow.forms.folders import open_folder
from soundflow.forms.load_any import load_any
from soundflow.text.tiny import TOKENIZER_FILE, tiny_table
from tests.soundflow.convert.omni import AUDIO

Tower = Literal["omni", "whisper"]


def llama(**changes: object) -> LlamaForCausalLM:
    torch.manual_seed(0)
    sizes = {
        "vocab_size": tiny_table().vocab_size, "hidden_size": 36, "intermediate_size": 64,
        "num_hidden_layers": 2, "num_attention_heads": 3, "num_key_value_heads": 1,
        "max_position_embeddings": 512, "tie_word_embeddings": True, "initializer_range": 0.1,
    }  # fmt: skip
    return LlamaForCausalLM(LlamaConfig(**{**sizes, **changes}))


def whisper() -> WhisperForConditionalGeneration:
    torch.manual_seed(1)
    return WhisperForConditionalGeneration(
        WhisperConfig(
            num_mel_bins=128, d_model=32, encoder_layers=2, encoder_attention_heads=2,
            encoder_ffn_dim=64, decoder_layers=1, decoder_attention_heads=2, decoder_ffn_dim=32,
            max_source_positions=20, vocab_size=100, pad_token_id=0, bos_token_id=1,
            eos_token_id=2, decoder_start_token_id=1, init_std=0.1,
        )
    )  # fmt: skip


def joined(folder: Path, lm: LlamaForCausalLM, tower: Tower) -> Path:
    lm.save_pretrained(folder)
    if tower == "whisper":
        whisper().save_pretrained(folder / "audio_tower")
    else:  # of a language model of width 48
        encoder = Qwen2_5OmniAudioEncoder(Qwen2_5OmniAudioEncoderConfig(**AUDIO))
        encoder.save_pretrained(folder / "audio_tower")
    (folder / "tokenizer.json").write_bytes(TOKENIZER_FILE.read_bytes())
    (folder / "token_table.json").write_text(json.dumps(asdict(tiny_table())))
    return folder


@torch.no_grad()
def test_a_llama_computes_what_it_did(tmp_path: Path) -> None:
    lm = llama().eval()
    folder = joined(tmp_path / "joined", lm, "omni")
    found = load_any(folder).model
    ids = torch.randint(20, tiny_table().vocab_size, (1, 30))
    ours = found.logits(found.hidden(found.embed(ids)))
    torch.testing.assert_close(ours, lm(ids).logits, atol=2e-5, rtol=1e-5)
    assert len(open_folder(folder).made) == 2 * 3 + 3  # biases, projection
    again = load_any(folder).model.encoder.proj.weight
    assert torch.equal(again, found.encoder.proj.weight)
    assert again.shape == (36, 32)


@torch.no_grad()
def test_the_encoder_of_a_whisper_is_the_tower(tmp_path: Path) -> None:
    found = load_any(joined(tmp_path / "joined", llama(), "whisper")).model
    mel = torch.randn(3, 128, 40)
    encoder = whisper().model.encoder.eval()
    norm, encoder.layer_norm = encoder.layer_norm, torch.nn.Identity()
    hidden = encoder(mel).last_hidden_state  # 20 positions, of which the tower takes pairs
    wanted = functional.layer_norm(hidden.view(3, 10, 2, 32).mean(2), (32,), norm.weight, norm.bias)
    torch.testing.assert_close(found.encode_states(mel), wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"attention_bias": True}, "attention_bias is True"),
        ({"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4}}, "linear"),
        ({"head_dim": 16}, "head_dim is 16"),
    ],
)
def test_what_a_qwen2_cannot_compute_is_refused(
    tmp_path: Path, change: dict[str, object], said: str
) -> None:
    folder = joined(tmp_path / "joined", llama(**change), "omni")
    with pytest.raises(UserError, match=said):
        open_folder(folder)


def test_another_kind_of_tower_or_language_model_is_named(tmp_path: Path) -> None:
    folder = joined(tmp_path / "joined", llama(), "omni")
    for part, kind, said in (
        ("audio_tower", "wav2vec2", "'wav2vec2' is no audio tower"),
        (".", "qwen3", r"can be read \(model_type 'qwen3'\)"),
    ):
        config = folder / part / "config.json"
        config.write_text(json.dumps({**json.loads(config.read_text()), "model_type": kind}))
        with pytest.raises(UserError, match=said):
            open_folder(folder)


@pytest.mark.parametrize(
    ("file", "key", "value"),
    [
        ("config.json", "rope_parameters", "default"),
        ("config.json", "rope_parameters", {"rope_theta": "large"}),
        ("model.safetensors.index.json", "weight_map", {"model.norm.weight": []}),
        ("model.safetensors.index.json", "weight_map", []),
    ],
)
def test_damaged_json_is_named(tmp_path: Path, file: str, key: str, value: object) -> None:
    path = joined(tmp_path / "joined", llama(), "omni") / file
    whole = json.loads(path.read_text()) if path.is_file() else {}
    path.write_text(json.dumps({**whole, key: value}))
    with pytest.raises(UserError, match=file):
        open_folder(path.parent)
