"""The smallest model that benchmarks measure: real shapes, real code."""

from __future__ import annotations

from soundflow.model.config import AudioEncoderConfig, LmConfig, ModelConfig


def tiny_config() -> ModelConfig:
    """About 3 million parameters with a vocabulary of 1000."""
    return ModelConfig(
        audio_encoder=AudioEncoderConfig(
            width=128, layers=2, heads=4, ffn_width=512, max_positions=64
        ),
        lm=LmConfig(
            width=192,
            layers=4,
            heads=6,
            kv_heads=6,
            ffn_width=512,
            max_positions=2048,
            rope_theta=10_000.0,
            tied=True,
        ),
    )
