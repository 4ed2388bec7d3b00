"""The log-mel front end as data (protocol section 2); `soundflow.audio` computes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Maximum = Literal["window", "running", "clip"]


@dataclass(frozen=True)
class FrontEnd:
    """Whisper's log-mel: periodic Hann window, Slaney mel bins from 0 Hz to ``f_max_hz``.

    ``maximum`` chooses over what M in ``max(log_mel, M - 8)`` is taken:

    * ``window``: the newest ``window_chunks`` chunks, this one included. Causal, and one click does
    not mask quiet sounds for the rest of a session.
    * ``running``: everything received up to the end of the chunk. Causal; forgets nothing. The same
      as ``window`` up to ``window_chunks`` chunks.
    * ``clip``: the whole clip (Whisper's; only possible once the clip is finished).
    """

    window_samples: int = 400
    n_mels: int = 128
    f_max_hz: float = 8_000.0
    maximum: Maximum = "window"
    window_chunks: int = 60

    def __post_init__(self) -> None:
        if self.maximum not in get_args(Maximum):
            raise ValueError(f"maximum must be one of {get_args(Maximum)}, got {self.maximum!r}")
        if self.window_chunks < 1:
            raise ValueError(f"window_chunks must be at least 1, got {self.window_chunks}")
        if self.window_samples <= 0 or self.window_samples % 2 or self.n_mels <= 0:
            raise ValueError(f"window must be positive and even, n_mels positive, got {self}")
