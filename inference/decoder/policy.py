"""The decision policy: the model, or the ground truth (teacher forcing).

The dialogue decoder asks its policy whether to speak after a chunk, and which token comes next in a
reply. Everything else (what is appended, what is legal, what is reported) is up to the decoder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

UNCALIBRATED_THRESHOLD = 0.5


class Policy(Protocol):
    def speaks(self, chunk: int, p_response: float) -> bool:
        """Whether a reply begins after ``chunk``."""

    def next_token(self, chunk: int, said: Sequence[int], sampled: int) -> int:
        """The token after ``said`` (emotion first); ``sampled`` is the model's choice."""


class ModelPolicy:
    """Speaks when p(response) reaches ``threshold``; 0.5 is even odds. One that is not
    ``proactive`` never speaks by itself.

    Raises:
        ValueError: if the threshold is not a probability.
    """

    def __init__(self, threshold: float, proactive: bool = True) -> None:
        if not 0.0 <= threshold <= 1.0:
            raise ValueError(f"threshold must be within [0, 1], got {threshold}")
        self._threshold = threshold
        self._proactive = proactive

    def speaks(self, chunk: int, p_response: float) -> bool:
        return self._proactive and p_response >= self._threshold

    def next_token(self, chunk: int, said: Sequence[int], sampled: int) -> int:
        return sampled


class ForcedPolicy:
    """Replies as given, independent of the model: teacher forcing in live decoding.

    Args:
        replies: chunk -> every token after TEXT_BEGIN: emotion, text, TEXT_END.
    """

    def __init__(self, replies: Mapping[int, Sequence[int]]) -> None:
        self._replies = replies

    def speaks(self, chunk: int, p_response: float) -> bool:
        return chunk in self._replies

    def next_token(self, chunk: int, said: Sequence[int], sampled: int) -> int:
        return self._replies[chunk][len(said)]
