"""Another opinion on where words end: the CTC phone recogniser inside the package `hama`.

A conformer of 4.7 MB (Apache 2.0), trained by others on other data than the aligners of the project
and of another kind. The pronunciations are those of the dictionary of `pocketsphinx`; the ends
follow from the spikes of the phones as in `data_build.speech.aligners.ctc`. Nothing is fitted.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from data_build.speech.aligners.ctc import Log, best_path, word_ends
from data_build.speech.aligners.hmm import pronunciations
from data_build.speech.word_times import Float32
from soundflow.audio.level import audible_blocks

_FRAME_S = 0.02
# ARPABET -> the phones of the recogniser that it may hear instead.
_PHONES = {
    "AA": "ɑ ɔ", "AE": "æ", "AH": "ʌ ə ɐ", "AO": "ɔ ɑ", "AW": "aʊ", "AY": "aɪ", "B": "b",
    "CH": "t͡ʃ", "D": "d ɾ", "DH": "ð", "EH": "ɛ", "ER": "ɝ ɚ", "EY": "eɪ", "F": "f", "G": "g ɡ",
    "HH": "h", "IH": "ɪ i", "IY": "i ɪ", "JH": "d͡ʒ", "K": "k", "L": "l", "M": "m", "N": "n",
    "NG": "ŋ", "OW": "oʊ", "OY": "ɔɪ", "P": "p", "R": "ɹ", "S": "s", "SH": "ʃ", "T": "t ɾ",
    "TH": "θ", "UH": "ʊ", "UW": "u", "V": "v", "W": "w", "Y": "j", "Z": "z", "ZH": "ʒ",
}  # fmt: skip


def word_ends_of(samples: Float32, text: str) -> list[float] | None:
    """The ends of the spoken units of an English text, in seconds; None if it does not fit.

    Raises:
        ImportError: if `hama` is not installed.
    """
    words = pronunciations(text)
    if not words or not all(words):
        return None
    scores, columns, between, blank = _scores(samples)
    labels, owners = list[int](), list[int]()
    for number, phones in enumerate(words):
        if number:
            labels, owners = [*labels, between], [*owners, -1]
        labels += [columns[phone] for phone in phones]
        owners += [number] * len(phones)
    spans = best_path(scores, np.asarray(labels), blank)
    if spans is None:
        return None
    spikes = [spans[np.asarray(owners) == number] * _FRAME_S for number in range(len(words))]
    first, last = [float(s[0, 0]) for s in spikes], [float(s[-1, 1]) for s in spikes]
    return word_ends(first, last, audible_blocks(samples))


def _scores(samples: Float32) -> tuple[Log, dict[str, int], int, int]:
    """(frames, phones + 2) log-probabilities; the columns of phones, word boundary and blank."""
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
    columns = {phone: column for column, phone in enumerate(_PHONES)}
    return np.stack([*phones, *others], 1), columns, len(phones), len(phones) + 1


@lru_cache(maxsize=1)
def _model() -> Any:
    from hama.asr import ASRModel

    return ASRModel()
