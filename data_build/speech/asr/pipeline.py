"""Any local speech recognition model, through transformers' own pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from data_build.speech.asr.asr_model import Float32
from soundflow.errors import UserError
from soundflow.protocol.timebase import SAMPLE_RATE_HZ


class TransformersAsr:
    """A model folder (Whisper, wav2vec 2.0, Parakeet, ...) on the CPU, loaded at the first use.

    Args:
        folder: what ``save_pretrained`` wrote, with the processor's files; nothing is fetched.

    Raises:
        UserError: if the folder is not there, or transformers cannot load it.
    """

    def __init__(self, folder: str) -> None:
        if not (Path(folder) / "config.json").is_file():
            raise UserError(
                f"{folder}: not a model folder, config.json missing",
                "give a local folder with model and processor",
            )
        self._folder = folder
        self._pipeline: Any = None

    def __reduce__(self) -> tuple[type[TransformersAsr], tuple[str]]:
        return type(self), (self._folder,)

    @property
    def id(self) -> str:
        return f"transformers-{Path(self._folder).name}"

    def transcribe(self, samples: Float32, language: str) -> str:
        recognise = self._loaded()
        # Only multilingual Whisper takes a language; other models have one, or find it themselves.
        generation = getattr(recognise.model, "generation_config", None)
        takes_language = getattr(generation, "is_multilingual", False)
        options: dict[str, Any] = {"raw": samples, "sampling_rate": SAMPLE_RATE_HZ}
        if takes_language:
            code = language.split("-")[0].lower()
            answer = recognise(options, generate_kwargs={"language": code, "task": "transcribe"})
        else:
            answer = recognise(options)
        return str(answer["text"]).strip()

    def _loaded(self) -> Any:
        if self._pipeline is None:
            # The one place of the build that needs torch.
            from transformers import pipeline

            try:
                self._pipeline = pipeline(
                    "automatic-speech-recognition", model=self._folder, device=-1
                )
            except (OSError, ValueError, KeyError) as error:
                raise UserError(
                    f"{self._folder}: no speech asr_model: {' '.join(str(error).split())[:200]}",
                    "give a folder with model, tokenizer and feature extractor",
                ) from error
        return self._pipeline
