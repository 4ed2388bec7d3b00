"""Whisper under faster-whisper (CTranslate2): transcription, and word times of a known text.

One thread, 8-bit weights, greedy and without the temperature fall-back, whose sampling would make
a verdict depend on chance. On another processor family the last digits of the logits, and so in
rare cases a word, may differ.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from data_build.records import Word
from data_build.speech.recognisers.recogniser import Float32
from data_build.speech.recognisers.whisper_weights import whisper_folder
from soundflow.errors import UserError

WINDOW_S = 30.0
_STEP_S = 0.02
# Without a hint Whisper answers Mandarin in traditional characters about as often as not.
_PROMPTS = {"zh": "以下是普通话的句子。"}


@lru_cache(maxsize=2)
def _model(folder: Path) -> Any:
    try:
        from faster_whisper import WhisperModel
    except ImportError as error:
        raise UserError(
            f"faster-whisper is not installed: {error}", "pip install soundflow[asr]"
        ) from error
    return WhisperModel(str(folder), device="cpu", compute_type="int8", cpu_threads=1)


class Whisper:
    """A Whisper model; the weights are loaded at the first use, once a process.

    Args:
        model: what `whisper_folder` takes.

    Raises:
        UserError: if the weights or faster-whisper are missing.
    """

    def __init__(self, model: str = "tiny.en") -> None:
        self._folder = whisper_folder(model)
        self._name = model

    @property
    def id(self) -> str:
        from importlib.metadata import version

        return f"whisper-{Path(self._name).name}-ct{version('ctranslate2')}"

    def transcribe(self, samples: Float32, language: str) -> str:
        code = self._known(language)
        segments, _ = _model(self._folder).transcribe(
            samples,
            language=code,
            beam_size=1,
            temperature=0.0,
            condition_on_previous_text=False,
            initial_prompt=_PROMPTS.get(code),
            # Timestamps decide where the next window begins; one window needs none.
            without_timestamps=len(samples) <= WINDOW_S * 16_000,
        )
        return " ".join(segment.text.strip() for segment in segments)

    def word_times(self, samples: Float32, text: str, language: str) -> tuple[Word, ...] | None:
        """Times of the words of ``text`` in ``samples``, by dynamic time warping.

        The text is forced through the decoder, and the path of least cost through its
        cross-attention gives every token a time (Radford et al. 2022, word-level timestamps);
        20 ms steps.

        Returns:
            One `Word` for each white-space (Mandarin: character) unit with a sound in it, or None
            where the audio exceeds Whisper's 30 s window or the path is degenerate.
        """
        from faster_whisper.audio import pad_or_trim
        from faster_whisper.tokenizer import Tokenizer

        code = self._known(language)
        duration_s = len(samples) / 16_000
        if duration_s > WINDOW_S or not text.strip():
            return None
        model = _model(self._folder)
        tokenizer = Tokenizer(
            model.hf_tokenizer, model.model.is_multilingual, task="transcribe", language=code
        )
        features = model.feature_extractor(samples)
        tokens = tokenizer.encode(" " + text.strip())
        encoded = model.encode(pad_or_trim(features))
        (found,) = model.find_alignment(tokenizer, [tokens], encoded, features.shape[-1])
        pieces = [(w["word"], float(w["start"]), float(w["end"])) for w in found]
        return _monotone(_spelled(text, pieces), duration_s)

    def _known(self, language: str) -> str:
        code = language.split("-")[0].lower()
        if code != "en" and not _model(self._folder).model.is_multilingual:
            raise UserError(
                f"recogniser {self._name!r} knows English only, the text is {language!r}",
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
