"""Voices behind an HTTP server: OpenAI's ``/audio/speech``, or CosyVoice's own small server.

=============  ==========================================  =====================================
dialect        request                                     answer
=============  ==========================================  =====================================
``openai``     JSON: model, input, voice, speed            a WAV or FLAC file
``cosyvoice``  form ``inference_sft``: tts_text, spk_id    bare PCM16 at ``sample_rate_hz``
=============  ==========================================  =====================================

A server is asked for the same words again on every retry; it may then give other samples, so
renderings are kept in the clip cache, from which a build can be repeated.
"""

from __future__ import annotations

import io
from dataclasses import field
from typing import Annotated, Literal

import numpy as np
import soundfile
import soxr
from annotated_types import Interval, MinLen
from pydantic.dataclasses import dataclass

from data_build.drops import Dropped, unanswered
from data_build.speech.engines.engine import STEP, Float32, unspeakable
from soundflow.config.settings import SETTINGS
from soundflow.endpoints.http_calls import (
    BadAnswer,
    Body,
    CallFailure,
    Endpoint,
    EndpointCaller,
    Form,
)
from soundflow.errors import UserError

Dialect = Literal["openai", "cosyvoice"]


@dataclass(frozen=True, config=SETTINGS)
class HttpVoicesConfig:
    """A TTS server.

    Attributes:
        voices: the server's voice name -> language.
        sample_rate_hz: what `speak` gives; for ``cosyvoice`` also the rate of the server's PCM
            (22050 for CosyVoice 1, 24000 from CosyVoice 2 on).
    """

    voices: Annotated[dict[str, str], MinLen(1)]
    endpoint: Endpoint = field(default_factory=lambda: Endpoint("http://127.0.0.1:50000"))
    dialect: Dialect = "openai"
    model: str = "cosyvoice"
    sample_rate_hz: Annotated[int, Interval(ge=8_000)] = 24_000


class HttpVoices:
    """The voices of a server. ``take`` goes along as ``seed`` where the dialect has one."""

    def __init__(self, config: HttpVoicesConfig) -> None:
        self.config = config
        self.caller = EndpointCaller(config.endpoint)

    @property
    def sample_rate_hz(self) -> int:
        return self.config.sample_rate_hz

    @property
    def voices(self) -> dict[str, str]:
        return self.config.voices

    @property
    def controls(self) -> frozenset[str]:
        return frozenset({"rate"} if self.config.dialect == "openai" else ())

    @property
    def id(self) -> str:
        return f"http-{self.config.dialect}-{self.config.model}"

    def speak(self, text: str, name: str, *, rate: float, pitch: float, take: int) -> Float32:
        """As `SpeechEngine.speak`; a text without a usable answer is dropped."""
        if name not in self.voices:
            raise UserError(f"no voice {name!r} at this server", f"one of {', '.join(self.voices)}")
        path, body = self._request(text, name, rate, take)
        try:
            samples = self.caller.call(path, body, self._read)
        except CallFailure as failure:
            raise Dropped(unanswered(failure, STEP, repr(text))) from failure
        if not samples.any():
            raise unspeakable(text, f"{name} answered with silence")
        return samples

    def _request(self, text: str, name: str, rate: float, take: int) -> tuple[str, Body]:
        if self.config.dialect == "cosyvoice":
            return "inference_sft", Form({"tts_text": text, "spk_id": name})
        return "audio/speech", {
            "model": self.config.model,
            "input": text,
            "voice": name,
            "speed": rate,
            "seed": take,
            "response_format": "wav",
        }

    def _read(self, content: bytes) -> Float32:
        if content[:4] in (b"RIFF", b"fLaC"):
            samples, rate_hz = _read_file(content)
            if rate_hz != self.sample_rate_hz:
                samples = soxr.resample(samples, rate_hz, self.sample_rate_hz)
            return samples
        if self.config.dialect != "cosyvoice":
            raise BadAnswer("not_audio", f"neither WAV nor FLAC: {content[:16]!r}")
        if not content or len(content) % 2:
            raise BadAnswer("not_audio", f"{len(content)} bytes are not whole PCM16 samples")
        return np.frombuffer(content, "<i2").astype(np.float32) / np.float32(32768.0)


def _read_file(content: bytes) -> tuple[Float32, int]:
    """A whole WAV or FLAC file, mixed down.

    Raises:
        BadAnswer: if it is cut short or cannot be decoded. libsndfile alone would take the part of
            a WAV that arrived; streaming servers write 0 or 2^32 - 1 for a length they don't know.
    """
    if content[:4] == b"RIFF":
        promised = int.from_bytes(content[4:8], "little")
        known = 0 < promised < 0x7FFFFFFF
        if known and len(content) < promised + 8:
            raise BadAnswer("cut_short", f"{len(content)} of {promised + 8} bytes")
    try:
        frames, rate_hz = soundfile.read(io.BytesIO(content), dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise BadAnswer("not_audio", str(error)) from error
    mono: Float32 = frames.mean(axis=1, dtype=np.float32)
    if not np.isfinite(mono).all():
        raise BadAnswer("not_audio", "NaN or infinity in the samples")
    return mono, int(rate_hz)
