"""ASR models other than Whisper: any local one through transformers, or a server."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
from pydantic.dataclasses import dataclass

from data_build.speech.model_folder import model_key, require_model_folder
from soundflow.config.settings import SETTINGS
from soundflow.endpoints.http_calls import BadAnswer, Endpoint, EndpointCaller, Form
from soundflow.errors import UserError
from soundflow.protocol.timebase import SAMPLE_RATE_HZ
from soundflow.shards.schema import quantise
from soundflow.shards.writer import flac_bytes
from soundflow.text.normalize import primary_language

_GPU_BATCH = 16
Float32 = npt.NDArray[np.float32]


# "auto" is a GPU where there is one; transcripts of one and of a CPU may differ in rare cases.
AsrDevice = Literal["auto", "cpu", "cuda"]


class AsrModel(Protocol):
    """Samples in, text out."""

    @property
    def id(self) -> str:
        """Model and version; transcripts of different ids may differ."""

    def transcribe(self, samples: Float32, language: str) -> str:
        """What is said in ``samples``, (n,) float32 mono at 16 kHz.

        Raises:
            UserError: if the model does not know ``language``.
            CallFailure: if it is a server and gives no usable answer.
            ServerGone: if it is a server that has stopped responding.
        """

    def transcribe_all(self, clips: Sequence[Float32], language: str) -> list[str]:
        """What is said in each of ``clips``, of one language: batched where that is faster.

        Raises:
            UserError, CallFailure, ServerGone: as `transcribe`.
        """


class TransformersAsr:
    """A model folder (Whisper, wav2vec 2.0, Parakeet, ...), loaded at the first use.

    Args:
        folder: what ``save_pretrained`` wrote, with the processor's files; nothing is fetched.
        device: "auto" takes a GPU where there is one.

    Raises:
        UserError: if the folder is not there, or transformers cannot load it.
    """

    def __init__(self, folder: str, device: AsrDevice = "cpu") -> None:
        require_model_folder(folder, "model and processor")
        self._folder = folder
        self._device = device
        self._pipeline: Any = None

    @cached_property
    def id(self) -> str:
        folder = Path(self._folder)
        return f"transformers-{folder.name}-{model_key(folder)}"

    def transcribe(self, samples: Float32, language: str) -> str:
        return self.transcribe_all([samples], language)[0]

    def transcribe_all(self, clips: Sequence[Float32], language: str) -> list[str]:
        pipeline = self._loaded()
        # Only multilingual Whisper takes a language; other models have one, or find it themselves.
        generation = getattr(pipeline.model, "generation_config", None)
        options: dict[str, Any] = {}
        if getattr(generation, "is_multilingual", False):
            code = primary_language(language)
            options["generate_kwargs"] = {"language": code, "task": "transcribe"}
        batch = _GPU_BATCH if pipeline.device.type == "cuda" else 1
        audio = [{"raw": clip, "sampling_rate": SAMPLE_RATE_HZ} for clip in clips]
        return [
            str(found["text"]).strip() for found in pipeline(audio, batch_size=batch, **options)
        ]

    def _loaded(self) -> Any:
        if self._pipeline is None:
            # Only models of transformers need torch in a build.
            import torch
            from transformers import pipeline

            device: str = self._device
            if device == "auto":
                device = "cuda" if torch.cuda.is_available() else "cpu"
            try:
                self._pipeline = pipeline(
                    "automatic-speech-recognition", model=self._folder, device=device
                )
            except (OSError, ValueError, KeyError) as error:
                raise UserError(
                    f"{self._folder}: no ASR model: {' '.join(str(error).split())[:200]}",
                    "give a folder with model, tokenizer and feature extractor",
                ) from error
        return self._pipeline


@dataclass(frozen=True, config=SETTINGS)
class HttpAsrConfig:
    """``endpoint.base_url`` ends before ``/audio/transcriptions`` (usually in ``/v1``)."""

    endpoint: Endpoint = field(default_factory=lambda: Endpoint("http://127.0.0.1:8000/v1"))
    model: str = "whisper-1"


class HttpAsr:
    """An OpenAI-compatible ``/audio/transcriptions``: sends FLAC, takes ``{"text": ...}``."""

    def __init__(self, config: HttpAsrConfig) -> None:
        self.config = config
        self.caller = EndpointCaller(config.endpoint)

    @property
    def id(self) -> str:
        return f"http-{self.config.model}"

    def transcribe(self, samples: Float32, language: str) -> str:
        form = Form(
            fields={
                "model": self.config.model,
                "language": primary_language(language),
                "response_format": "json",
                "temperature": "0",
            },
            files={
                "file": ("clip.flac", flac_bytes(quantise(samples), SAMPLE_RATE_HZ), "audio/flac")
            },
        )
        return self.caller.call("audio/transcriptions", form, _transcript)

    def transcribe_all(self, clips: Sequence[Float32], language: str) -> list[str]:
        return [self.transcribe(clip, language) for clip in clips]


def _transcript(content: bytes) -> str:
    try:
        text = json.loads(content)["text"]
    except (ValueError, LookupError, TypeError) as error:
        raise BadAnswer("not_a_transcript", f"{type(error).__name__}: {error}") from error
    if not isinstance(text, str):
        raise BadAnswer("not_a_transcript", f"text is a {type(text).__name__}")
    return text.strip()
