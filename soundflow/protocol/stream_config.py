"""`StreamConfig`: the ``stream:`` block of a build recipe, from which a `StreamSpec` is made."""

from __future__ import annotations

import math
from dataclasses import dataclass

from soundflow.protocol.front_end import FrontEnd, Maximum
from soundflow.protocol.spec import StreamSpec
from soundflow.protocol.timebase import DEFAULT_CHUNK_S, SAMPLE_RATE_HZ, SLOT_SAMPLES, TimeBase
from soundflow.protocol.tokens import TokenTable

_LONGEST_S = 60.0  # a system that decides less often is no stream


@dataclass(frozen=True)
class StreamConfig:
    """How often a stream decides and over what its features are scaled.

    Attributes:
        chunk_s: seconds from one decision to the next, a whole number of 40 ms slots.
        maximum: over what the maximum of the log-mel is taken (`FrontEnd`).
        window_chunks: how many chunks ``maximum: window`` remembers.

    Raises:
        ValueError: if a chunk is not a whole number of slots, naming the nearest that are.
    """

    chunk_s: float = DEFAULT_CHUNK_S
    maximum: Maximum = "window"
    window_chunks: int = FrontEnd.window_chunks

    def __post_init__(self) -> None:
        slots = self.chunk_s * SAMPLE_RATE_HZ / SLOT_SAMPLES
        if not 0 < self.chunk_s <= _LONGEST_S:
            raise ValueError(
                f"chunk_s must be positive and at most {_LONGEST_S:g}, got {self.chunk_s}"
            )
        if abs(slots - round(slots)) > 1e-6 or round(slots) < 1:
            slot_s, below = SLOT_SAMPLES / SAMPLE_RATE_HZ, math.floor(slots)
            near = [f"{n * slot_s:g}" for n in (below, below + 1) if n]
            raise ValueError(
                f"chunk_s must be a multiple of {slot_s:g} s, got {self.chunk_s:g}; "
                f"nearest: {' or '.join(near)}"
            )
        if self.window_chunks < 1:
            raise ValueError(f"window_chunks must be at least 1, got {self.window_chunks}")

    @property
    def time(self) -> TimeBase:
        slots = round(self.chunk_s * SAMPLE_RATE_HZ / SLOT_SAMPLES)
        return TimeBase(chunk_samples=slots * SLOT_SAMPLES)

    @property
    def front_end(self) -> FrontEnd:
        if self.maximum == "window":
            return FrontEnd(maximum="window", window_chunks=self.window_chunks)
        return FrontEnd(maximum=self.maximum)  # a window that nobody takes makes no other stream

    def spec(self, tokenizer: str, tokens: TokenTable) -> StreamSpec:
        """The spec of streams in the vocabulary with the fingerprint ``tokenizer``."""
        return StreamSpec(
            tokenizer=tokenizer, time=self.time, front_end=self.front_end, tokens=tokens
        )
