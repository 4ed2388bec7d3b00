"""The decision policy: the model, or the ground truth (teacher forcing).

The dialogue decoder asks its policy whether to speak after a chunk, and which token comes next in a
reply. Everything else (what is appended, what is legal, what is reported) is up to the decoder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from torch import Tensor

from inference.sampling import SamplingConfig, choose
from soundflow.protocol.dialogue_state import Legal


class Policy(Protocol):
    def speaks(self, chunk: int, p_response: float) -> bool:
        """Whether a reply begins after ``chunk``."""

    def next_token(self, chunk: int, said: Sequence[int], logits: Tensor, legal: Legal) -> int:
        """The token after ``said`` (emotion first); logits (vocabulary,) float32."""


class ModelPolicy:
    """Speaks when p(response) reaches ``threshold``; 0.5 is even odds.

    Raises:
        ValueError: if the threshold is not a probability.
    """

    def __init__(self, threshold: float, sampling: SamplingConfig) -> None:
        if not 0.0 <= threshold <= 1.0:
            raise ValueError(f"threshold must be within [0, 1], got {threshold}")
        self._threshold = threshold
        self._sampling = sampling
        self._rng = np.random.Generator(np.random.PCG64(sampling.seed))

    def speaks(self, chunk: int, p_response: float) -> bool:
        return p_response >= self._threshold

    def next_token(self, chunk: int, said: Sequence[int], logits: Tensor, legal: Legal) -> int:
        return choose(logits, legal, self._sampling, self._rng)


class ForcedPolicy:
    """Replies as given, independent of the model: teacher forcing in live decoding.

    Args:
        replies: chunk -> every token after TEXT_BEGIN: emotion, text, TEXT_END.
    """

    def __init__(self, replies: Mapping[int, Sequence[int]]) -> None:
        self._replies = replies

    def speaks(self, chunk: int, p_response: float) -> bool:
        return chunk in self._replies

    def next_token(self, chunk: int, said: Sequence[int], logits: Tensor, legal: Legal) -> int:
        return self._replies[chunk][len(said)]
