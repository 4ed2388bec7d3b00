"""The log-mel front end as data (protocol section 2); `soundflow.audio` computes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Maximum = Literal["running", "clip"]


@dataclass(frozen=True)
class FrontEnd:
    """Whisper's log-mel: periodic Hann window, Slaney mel bins from 0 Hz to ``f_max_hz``.

    ``maximum`` chooses M in ``max(log_mel, M - 8)``: ``running`` is the maximum over everything
    heard up to the end of the chunk (causal), ``clip`` the one over the whole clip (Whisper's;
    only possible once the clip is finished).
    """

    window_samples: int = 400
    n_mels: int = 128
    f_max_hz: float = 8_000.0
    maximum: Maximum = "running"

    def __post_init__(self) -> None:
        if self.maximum not in get_args(Maximum):
            raise ValueError(f"maximum must be one of {get_args(Maximum)}, got {self.maximum!r}")
        if self.window_samples <= 0 or self.window_samples % 2 or self.n_mels <= 0:
            raise ValueError(f"window must be positive and even, n_mels positive, got {self}")
