"""Forced alignment by the phone recogniser inside the package `hama`.

A conformer of 4.7 MB with a CTC output (Apache 2.0, its engine in the wheel), trained by others and
of another kind than the rest here: the second opinion on English, and the aligner of German,
French, Spanish, Italian and Mandarin, whose sounds it hears as the nearest of English. On a CPU,
20 ms steps, about as fast as `pocketsphinx`. Nothing is fitted.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from data_build.records import Word
from data_build.speech.aligners.ctc import Log, timed_words
from data_build.speech.pronunciation import LANGUAGES, phones_of
from data_build.speech.word_times import Float32, spoken_units
from soundflow.errors import UserError, not_installed
from soundflow.text.normalize import primary_language

_VERSION = 2  # raise when the same samples get other times
_FRAME_S = 0.02
# ARPABET -> the phones of the recogniser that it may hear instead.
_PHONES = {
    "AA": "ɑ ɔ", "AE": "æ", "AH": "ʌ ə ɐ", "AO": "ɔ ɑ", "AW": "aʊ", "AY": "aɪ", "B": "b",
    "CH": "t͡ʃ", "D": "d ɾ", "DH": "ð", "EH": "ɛ", "ER": "ɝ ɚ", "EY": "eɪ", "F": "f", "G": "g ɡ",
    "HH": "h", "IH": "ɪ i", "IY": "i ɪ", "JH": "d͡ʒ", "K": "k", "L": "l", "M": "m", "N": "n",
    "NG": "ŋ", "OW": "oʊ", "OY": "ɔɪ", "P": "p", "R": "ɹ", "S": "s", "SH": "ʃ", "T": "t ɾ",
    "TH": "θ", "UH": "ʊ", "UW": "u", "V": "v", "W": "w", "Y": "j", "Z": "z", "ZH": "ʒ",
}  # fmt: skip


class PhoneAligner:
    """The recogniser, loaded at the first use, once a process.

    Raises:
        UserError: if `hama` is not installed.
    """

    def __init__(self) -> None:
        try:
            self.id = f"hama-{version('hama')}-v{_VERSION}"
        except PackageNotFoundError as error:
            raise not_installed("the aligner 'hama'", "asr") from error

    def align(self, samples: Float32, text: str, language: str) -> tuple[Word, ...] | None:
        code = primary_language(language)
        if code not in LANGUAGES:
            raise UserError(
                f"hama aligns {', '.join(sorted(LANGUAGES))}, the text is {language!r}",
                "name another aligner for the language under speech.aligners",
            )
        units = spoken_units(text, language)
        if not units or not len(samples):
            return None
        scores, between, blank = _scores(samples)
        columns = [[_COLUMN[phone] for phone in phones_of(unit, code)] for unit in units]
        return timed_words(units, columns, scores, blank, between, _FRAME_S, samples)


_COLUMN = {phone: column for column, phone in enumerate(_PHONES)}


def _scores(samples: Float32) -> tuple[Log, int, int]:
    """(frames, phones + 2) log-probabilities; the columns of word boundary and blank."""
    model = _model()
    found, lengths = model.session.run(
        ["log_probs", "out_lengths"],
        {"waveform": samples[None], "waveform_lengths": np.asarray([len(samples)])},
    )
    scores = np.asarray(found)[0, : int(np.asarray(lengths).item())].astype(np.float64)
    tokens = model.decoder_tokens
    phones = [
        np.logaddexp.reduce(scores[:, [tokens.index(name) for name in names.split()]], axis=1)
        for names in _PHONES.values()
    ]
    others = [scores[:, tokens.index(name)] for name in ("<wb>", "<blank>")]
    return np.stack([*phones, *others], 1), len(phones), len(phones) + 1


@lru_cache(maxsize=1)
def _model() -> Any:
    try:
        from hama.asr import ASRModel
    except ImportError as error:
        raise not_installed(f"the aligner 'hama' ({error})", "asr") from error
    return ASRModel()
