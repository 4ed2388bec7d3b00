"""SoundFlow from Python: a model that listens, and tells what it hears and says as it happens.

::

    from soundflow import AudioInteraction

    model = AudioInteraction.from_pretrained("runs/quickstart/model")
    for event in model.stream("talk.wav"):
        print(event)

A live source is pushed instead, packet by packet, into a session of its own::

    with model.session() as session:
        for packet in microphone:               # float32 mono, 16 kHz, any length
            for event in session.push(packet):
                ...
        session.close()

Events are the dataclasses of `inference.events`: `Decided` after every chunk of 0.4 s, and, when
the model speaks, `ReplyStarted`, `ReplyText` for each token, `ReplyEnded`; last `SessionEnded`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from inference.audio_in import PacketResampler
from inference.engine import Engine
from inference.events import (
    Decided,
    ReplyEnded,
    ReplyStarted,
    ReplyText,
    SessionEnded,
    SessionEvent,
)
from inference.profiles import (
    OURS,
    PROFILES,
    Profile,
    ProfileName,
    hear_recordings,
    open_session,
)
from inference.sampling import SamplingConfig
from inference.session import Session, SessionConfig
from soundflow.audio.files import read_audio
from soundflow.convert.engine import open_engine
from soundflow.errors import UserError
from soundflow.protocol.spec import StreamSpec
from soundflow.protocol.timebase import SAMPLE_RATE_HZ

__all__ = [
    "AudioInteraction",
    "Decided",
    "ReplyEnded",
    "ReplyStarted",
    "ReplyText",
    "Session",
    "SessionEnded",
    "SessionEvent",
    "UserError",
]

Dtype = Literal["float32", "bfloat16", "float16"]
Array = npt.NDArray[Any]
Float32 = npt.NDArray[np.float32]
Audio = str | Path | Array | Iterable[Array]

_PCM16_SCALE = np.float32(32768.0)


class AudioInteraction:
    """A loaded model. Open as many sessions as wanted; each has a memory of its own."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @classmethod
    def from_pretrained(
        cls, name: str | Path, *, device: str = "cpu", dtype: Dtype = "float32"
    ) -> AudioInteraction:
        """Loads a checkpoint.

        Args:
            name: a folder (SoundFlow, the published release, Qwen2.5-Omni or its Thinker, a plain
                transformers folder), or the id of a Hugging Face repository with one of these.
            device: as torch names it.
            dtype: of the weights while running.

        Raises:
            UserError: if there is no such checkpoint, or it cannot be run.
        """
        return cls(open_engine(name, device, getattr(torch, dtype)))

    @property
    def spec(self) -> StreamSpec:
        """Sample rate, chunk, front end and control tokens."""
        return self._engine.spec

    @property
    def system(self) -> str:
        """The instruction that sessions begin with unless another is given."""
        return self._engine.system

    def session(
        self,
        *,
        system: str | None = None,
        threshold: float | None = None,
        temperature: float = 0.3,
        top_k: int = 3,
        max_reply_tokens: int = 256,
        seed: int = 0,
    ) -> Session:
        """A live session: `push` packets of mono float32 at 16 kHz, then `close`.

        Args:
            system: the instruction; the model's own where None.
            threshold: p(response) from which it speaks; calibrated, or 0.5, where None.
            temperature: 0 takes the likeliest token always.
            seed: of the sampling; the same audio and seed give the same events.

        Raises:
            ValueError: if a value is impossible.
        """
        return self._open(
            OURS, system, threshold, SamplingConfig(temperature, top_k, max_reply_tokens, seed)
        )

    def stream(
        self, audio: Audio, *, sample_rate_hz: int = SAMPLE_RATE_HZ, **options: Any
    ) -> Iterator[SessionEvent]:
        """What happens while ``audio`` is heard, event by event, in a session of its own.

        Args:
            audio: a file of any format and rate; or samples, float in [-1, 1] or int16, mono (n,)
                or (n, channels); or an iterable of such packets, as they arrive.
            sample_rate_hz: of samples and packets. Files bring their own.
            options: as of `session`.

        Raises:
            UserError: if the audio cannot be read, or holds NaN or infinity.
        """
        session = self.session(**options)
        for packet in _packets(audio, sample_rate_hz, self.spec.time.sample_rate_hz):
            yield from session.push(packet)
        yield from session.close()

    def listen_to(
        self,
        paths: Sequence[str | Path],
        *,
        profile: ProfileName = "ours",
        system: str | None = None,
        threshold: float | None = None,
        temperature: float = 0.3,
        top_k: int = 3,
        max_reply_tokens: int = 256,
        seed: int = 0,
    ) -> Iterator[list[SessionEvent]]:
        """Files one after another in one session, a second of silence behind each.

        Args:
            profile: ``published`` hears as the published code does: see `docs/interoperability.md`.

        Yields:
            What became known during each file (its last chunk with the file that follows); last,
            the end of the session.

        Raises:
            UserError: if a file cannot be read; all are read before the first is heard.
        """
        chosen = PROFILES[profile]
        rate_hz = self.spec.time.sample_rate_hz
        recordings = [read_audio(path, sample_rate_hz=rate_hz) for path in paths]
        sampling = SamplingConfig(temperature, top_k, max_reply_tokens, seed)
        session = self._open(chosen, system, threshold, sampling)
        yield from hear_recordings(session, recordings, chosen, self.spec.time)

    def _open(
        self,
        profile: Profile,
        system: str | None,
        threshold: float | None,
        sampling: SamplingConfig,
    ) -> Session:
        config = SessionConfig(system=system, threshold=threshold, sampling=sampling)
        return open_session(self._engine, profile, config)


def _packets(audio: Audio, from_hz: int, to_hz: int) -> Iterator[Float32]:
    if isinstance(audio, str | Path):
        yield read_audio(audio, sample_rate_hz=to_hz)
        return
    resampler = PacketResampler(from_hz, to_hz)
    for packet in [audio] if isinstance(audio, np.ndarray) else audio:
        yield resampler.push(_mono(np.asarray(packet)))
    yield resampler.finish()


def _mono(packet: Array) -> Float32:
    """(n,) or (n, channels), float or int16 -> (n,) float32."""
    if packet.dtype == np.int16:
        samples = packet.astype(np.float32) / _PCM16_SCALE
    elif packet.dtype.kind == "f":
        samples = packet.astype(np.float32)
    else:
        raise UserError(
            f"samples of type {packet.dtype}", "give float in [-1, 1], or 16-bit integers"
        )
    if samples.ndim == 2:
        samples = samples.mean(axis=1, dtype=np.float32)
    if samples.ndim != 1:
        raise UserError(f"samples of shape {samples.shape}", "give (n,) or (n, channels)")
    return samples
