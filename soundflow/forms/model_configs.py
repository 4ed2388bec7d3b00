"""Model sizes between the config of every form and ours.

A setting that our model does not support is refused by name: ignoring it would give a model that
runs but produces nonsense.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from soundflow.errors import UserError
from soundflow.model.config import AudioEncoderConfig, LmConfig, ModelConfig

# What a litgpt config must say (or leave out) for its model to be a Qwen2.
_RELEASE_FIXED: dict[str, Any] = {
    "rotary_percentage": 1.0,
    "parallel_residual": False,
    "shared_attention_norm": False,
    "bias": False,
    "attn_bias": True,
    "lm_head_bias": False,
    "norm_class_name": "RMSNorm",
    "mlp_class_name": "LLaMAMLP",
    "rope_condense_ratio": 1,
    "scale_embeddings": False,
}
_TOWER_FIXED: dict[str, Any] = {"activation_function": "gelu", "scale_embedding": False}
_LM_FIXED: dict[str, Any] = {
    "hidden_act": "silu", "use_sliding_window": False, "mlp_bias": False, "attention_bias": False,
}  # fmt: skip


@dataclass(frozen=True)
class Sizes:
    """Our config, and the rows of the embedding, which the `TokenTable` holds."""

    model: ModelConfig
    vocab_size: int


class _Fields:
    """A foreign config read field by field; every complaint names the file."""

    def __init__(self, file: Path, data: Mapping[str, Any]) -> None:
        self._file = file
        self._data = data

    def integer(self, key: str) -> int:
        value = self._data.get(key)
        if not isinstance(value, int) or isinstance(value, bool):
            raise self._refuse(f"{key} must be an integer, got {value!r}")
        return value

    def number(self, key: str, default: float | None = None) -> float:
        value = self._data.get(key, default)
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise self._refuse(f"{key} must be a number, got {value!r}")
        return float(value)

    def require(self, fixed: Mapping[str, Any]) -> None:
        for key, wanted in fixed.items():
            if key in self._data and self._data[key] != wanted:
                raise self._refuse(f"{key} is {self._data[key]!r}, only {wanted!r} can be run")

    def _refuse(self, why: str) -> UserError:
        return UserError(f"{self._file}: {why}", "this model is not a Qwen2.5 with an audio tower")


def from_release(file: Path, data: Mapping[str, Any], tower: AudioEncoderConfig) -> Sizes:
    """``model_config.yaml`` of the published release (litgpt's Config)."""
    fields = _Fields(file, data)
    fields.require(_RELEASE_FIXED)
    heads, width = fields.integer("n_head"), fields.integer("n_embd")
    fields.require({"head_size": width // heads})
    lm = LmConfig(
        width=width,
        layers=fields.integer("n_layer"),
        heads=heads,
        kv_heads=fields.integer("n_query_groups"),
        ffn_width=fields.integer("intermediate_size"),
        max_positions=fields.integer("block_size"),
        rope_theta=fields.number("rope_base"),
        norm_eps=fields.number("norm_eps"),
    )
    return Sizes(ModelConfig(tower, lm), fields.integer("padded_vocab_size"))


def to_release(model: ModelConfig, vocab_size: int, name: str) -> dict[str, Any]:
    """The inverse of `from_release`."""
    lm = model.lm
    return {
        "name": name,
        "hf_config": {"org": "soundflow", "name": name},
        "block_size": lm.max_positions,
        "vocab_size": vocab_size,
        "padding_multiple": 512,
        "padded_vocab_size": vocab_size,
        "n_layer": lm.layers,
        "n_head": lm.heads,
        "n_embd": lm.width,
        "n_query_groups": lm.kv_heads,
        "head_size": lm.width // lm.heads,
        "intermediate_size": lm.ffn_width,
        "norm_eps": lm.norm_eps,
        "rope_base": round(lm.rope_theta),
        **_RELEASE_FIXED,
    }


def tower_from(file: Path, data: Mapping[str, Any], lm_width: int | None) -> AudioEncoderConfig:
    """An ``audio_config``. ``lm_width`` is what its output must fit (None: not known yet)."""
    fields = _Fields(file, data)
    fields.require(_TOWER_FIXED)
    if lm_width is not None:
        fields.require({"output_dim": lm_width})
    return AudioEncoderConfig(
        mel_bins=fields.integer("num_mel_bins"),
        width=fields.integer("d_model"),
        layers=fields.integer("encoder_layers"),
        heads=fields.integer("encoder_attention_heads"),
        ffn_width=fields.integer("encoder_ffn_dim"),
        max_positions=fields.integer("max_source_positions"),
    )


def lm_from(file: Path, data: Mapping[str, Any], tied: bool) -> tuple[LmConfig, int]:
    """A Qwen2 config, or the ``text_config`` of a Thinker, and its vocabulary size."""
    fields = _Fields(file, data)
    fields.require(_LM_FIXED)
    # transformers 5 nests the rotary base; older files keep it beside the sizes.
    rope = data.get("rope_parameters") or data.get("rope_scaling") or {}
    if not isinstance(rope, dict):
        raise UserError(f"{file}: rope_parameters must be a mapping", "fetch it again")
    theta = _Fields(file, {**data, **rope}).number("rope_theta", 1_000_000.0)
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind not in ("default", "mrope"):
        raise UserError(f"{file}: rope_type {kind!r} is not supported", "use plain RoPE")
    width, heads = fields.integer("hidden_size"), fields.integer("num_attention_heads")
    if data.get("head_dim") is not None:
        fields.require({"head_dim": width // heads})
    lm = LmConfig(
        width=width,
        layers=fields.integer("num_hidden_layers"),
        heads=heads,
        kv_heads=fields.integer("num_key_value_heads"),
        ffn_width=fields.integer("intermediate_size"),
        max_positions=fields.integer("max_position_embeddings"),
        rope_theta=theta,
        norm_eps=fields.number("rms_norm_eps", 1e-6),
        init_std=fields.number("initializer_range", 0.02),
        tied=tied,
    )
    return lm, fields.integer("vocab_size")


def mrope_section(lm: LmConfig) -> list[int]:
    """How a Thinker shares a head's frequencies between time, height and width.

    On a stream all three count the same positions, so any split gives plain 1-D RoPE; the
    published one is 1 : 1.5 : 1.5 (16, 24, 24 of 64).
    """
    half = lm.width // lm.heads // 2
    time = half // 4
    height = (half - time) // 2
    return [time, height, half - time - height]
