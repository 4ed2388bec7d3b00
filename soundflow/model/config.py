"""Sizes of the model: the audio tower and the language model, as data.

Vocabulary and slot ids are not here: they come from the `TokenTable` of the stream spec. The
defaults are those of Qwen2.5-Omni-3B, the base of the published model.
"""

from __future__ import annotations

from dataclasses import asdict, field
from typing import Annotated, Any

from annotated_types import Interval
from pydantic import PositiveFloat
from pydantic.dataclasses import dataclass

from soundflow.config.load import build
from soundflow.config.settings import SETTINGS
from soundflow.errors import UserError
from soundflow.protocol.timebase import TimeBase

# Ten times the largest published models. A slip of the finger beyond that would take minutes to
# build before its memory is found missing.
Width = Annotated[int, Interval(gt=0, le=1 << 18)]
Depth = Annotated[int, Interval(gt=0, le=2_000)]
Positions = Annotated[int, Interval(gt=0, le=1 << 24)]


@dataclass(frozen=True, config=SETTINGS)
class AudioEncoderConfig:
    """The audio tower: two convolutions, then ``layers`` pre-norm blocks over 20 positions a chunk.

    ``max_positions`` is the length of the sinusoid table (published: 1500). ``init_std`` is the
    spread of random weights; a narrow tower needs a larger one, or the sinusoids dominate the
    audio.
    """

    mel_bins: Width = 128
    width: Width = 1280
    layers: Depth = 32
    heads: Width = 20
    ffn_width: Width = 5120
    max_positions: Positions = 1500
    init_std: PositiveFloat = 0.02

    def __post_init__(self) -> None:
        if self.width % self.heads or self.width % 2:
            raise ValueError(
                f"width={self.width} must be even and a multiple of heads={self.heads}"
            )


@dataclass(frozen=True, config=SETTINGS)
class LmConfig:
    """The language model: Qwen2 with plain 1-D rotary positions up to ``max_positions``.

    ``tied`` shares one matrix between the token embedding and the head.
    """

    width: Width = 2048
    layers: Depth = 36
    heads: Width = 16
    kv_heads: Width = 2
    ffn_width: Width = 11008
    max_positions: Positions = 32768
    rope_theta: PositiveFloat = 1_000_000.0
    norm_eps: PositiveFloat = 1e-6
    tied: bool = False
    init_std: PositiveFloat = 0.02

    def __post_init__(self) -> None:
        if self.width % self.heads or self.heads % self.kv_heads:
            raise ValueError(
                f"heads={self.heads} must divide width={self.width} "
                f"and be a multiple of kv_heads={self.kv_heads}"
            )


@dataclass(frozen=True, config=SETTINGS)
class ModelConfig:
    """Both parts. The tower's output projection (the published "adapter") ends at ``lm.width``."""

    audio_encoder: AudioEncoderConfig = field(default_factory=AudioEncoderConfig)
    lm: LmConfig = field(default_factory=LmConfig)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def least_parameters(self, vocab_size: int) -> int:
        """Parameters of the matrices alone: a lower bound for weights of these sizes."""
        tower, lm = self.audio_encoder, self.lm
        kv_width = lm.width // lm.heads * lm.kv_heads
        attention = 2 * lm.width * (lm.width + kv_width)
        return (
            tower.layers * (4 * tower.width**2 + 2 * tower.width * tower.ffn_width)
            + 3 * tower.width * (tower.mel_bins + tower.width)
            + tower.width * lm.width
            + lm.layers * (attention + 3 * lm.width * lm.ffn_width)
            + vocab_size * lm.width
        )

    def require_chunk(self, time: TimeBase, where: str) -> None:
        """Checks that a chunk fits into the positions of the audio tower.

        Raises:
            UserError: if a chunk has more frames than the audio tower has positions.
        """
        frames, positions = time.frames_per_chunk // 2, self.audio_encoder.max_positions
        if frames > positions:
            raise UserError(
                f"{where}: a chunk of {time.chunk_s:g} s takes {frames} positions, "
                f"audio_encoder.max_positions is {positions}",
                f"set audio_encoder.max_positions={frames} or more, or take shorter chunks",
            )

    @staticmethod
    def from_json(data: Any, where: str) -> ModelConfig:
        """Reads sizes back; ``where`` is the file and the key in it, for messages.

        Raises:
            UserError: if a field is missing, unknown or impossible.
        """
        wrong = "was it written by another version?"
        if not isinstance(data, dict):
            raise UserError(f"{where}: expected a mapping, got {type(data).__name__}", wrong)
        config = build(ModelConfig, data, where, wrong)
        for part, values in config.to_json().items():
            missing = sorted(values.keys() - data.get(part, {}).keys())
            if missing:
                raise UserError(f"{where}.{part}.{missing[0]}: is missing", wrong)
        return config
