"""A asr_model behind an OpenAI-compatible ``/audio/transcriptions`` endpoint."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from data_build.chat.http_calls import BadAnswer, CallCounts, Endpoint, EndpointCaller, Form
from data_build.speech.asr.asr_model import Float32
from soundflow.protocol.timebase import SAMPLE_RATE_HZ
from soundflow.shards.schema import quantise
from soundflow.shards.writer import flac_bytes


@dataclass(frozen=True)
class HttpAsrConfig:
    """``endpoint.base_url`` ends before ``/audio/transcriptions`` (usually in ``/v1``)."""

    endpoint: Endpoint = field(default_factory=lambda: Endpoint("http://127.0.0.1:8000/v1"))
    model: str = "whisper-1"


class HttpAsr:
    """Sends FLAC, takes ``{"text": ...}``; retries as the endpoint's settings say."""

    def __init__(self, config: HttpAsrConfig) -> None:
        self.config = config
        self._caller = EndpointCaller(config.endpoint)

    def __reduce__(self) -> tuple[type[HttpAsr], tuple[HttpAsrConfig]]:
        return type(self), (self.config,)

    @property
    def id(self) -> str:
        return f"http-{self.config.model}"

    @property
    def counts(self) -> CallCounts:
        return self._caller.counts

    def close(self) -> None:
        self._caller.close()

    def transcribe(self, samples: Float32, language: str) -> str:
        audio = flac_bytes(quantise(samples), SAMPLE_RATE_HZ)
        form = Form(
            fields={
                "model": self.config.model,
                "language": language.split("-")[0].lower(),
                "response_format": "json",
                "temperature": "0",
            },
            files={"file": ("clip.flac", audio, "audio/flac")},
        )
        call = self._caller.start(
            lambda: self._caller.post("audio/transcriptions", form, _transcript)
        )
        return call.result()


def _transcript(content: bytes) -> str:
    try:
        text = json.loads(content)["text"]
    except (ValueError, LookupError, TypeError) as error:
        raise BadAnswer("not_a_transcript", f"{type(error).__name__}: {error}") from error
    if not isinstance(text, str):
        raise BadAnswer("not_a_transcript", f"text is a {type(text).__name__}")
    return text.strip()
