"""Decodes items with the live engine, many side by side: streams, encoded once, and offline
exchanges. This is the only place that knows how.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import inf

import numpy as np
import numpy.typing as npt
from torch import Tensor

from inference.decoder.sampling import SamplingConfig
from inference.engine import Engine
from inference.evaluate.task import Item
from inference.exchange import Answer, answers, prompt_of
from inference.feed import packets
from inference.sessions.audio_frontend import mel_chunks
from inference.sessions.config import SessionConfig
from inference.sessions.offline_decode import DecodedStream, OfflineStream, decode_streams
from inference.sources.recordings import Recording
from soundflow.errors import UserError

Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class EncodedRecording:
    """The encoder outputs of a recording, (n_chunks, slots, d), and its instruction."""

    slots: Tensor
    system: str


def log_mel_of(engine: Engine, recording: Recording) -> Float32:
    """(n_chunks, n_mels, frames) of a recording, fed as to a session.

    Raises:
        UserError: if it cannot be read to its end.
    """
    taken_in = packets(recording, engine.profile, engine.spec.time)
    return mel_chunks(engine.spec, engine.profile, taken_in)


def encode(engine: Engine, mels: Sequence[Float32]) -> list[Tensor]:
    """Encodes the chunks of all recordings together."""
    if not mels:
        return []
    slots = engine.encode(np.concatenate(mels))
    parts: Sequence[Tensor] = slots.split([len(m) for m in mels])  # type: ignore[no-untyped-call]
    return list(parts)


def decode_together(
    engine: Engine,
    recordings: Sequence[EncodedRecording],
    at_once: int,
    threshold: float,
    sampling: SamplingConfig,
    timeout_s: float = inf,
    poll: Callable[[], None] = lambda: None,
) -> Iterator[tuple[int, DecodedStream]]:
    """The place of every recording and what it gave, as its own session would, when it ends."""
    streams = [
        OfflineStream(r.slots, SessionConfig(r.system, threshold, None, sampling))
        for r in recordings
    ]
    return decode_streams(engine, streams, at_once, timeout_s, poll)


def answer_together(
    engine: Engine, items: Sequence[Item[object]], sampling: SamplingConfig, timeout_s: float
) -> dict[str, Answer | UserError]:
    """The answers by item; for one that cannot be read, is too long or fails, why."""
    found: dict[str, Answer | UserError] = {}
    asked, prompts = [], []
    for item in items:
        if item.exchange is None:
            raise ValueError(f"{item.id}: asks nothing")
        try:
            recording = item.open() if item.exchange.has_audio else None
            prompt = prompt_of(engine, item.exchange.question, recording, item.system)
        except UserError as error:
            found[item.id] = error
            continue
        asked.append(item.id)
        prompts.append(prompt)
    said = answers(engine, prompts, sampling, timeout_s=timeout_s)
    return found | dict(zip(asked, said, strict=True))
