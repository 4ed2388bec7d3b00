"""Forced alignment of English by the hidden Markov models inside `pocketsphinx`.

::

    "The PBX costs $5." ─▶ the | p b x | costs | five dollars ─▶ phones ─▶ Viterbi ─▶ ends of words

The package carries the acoustic model (US English, BSD licence) and a dictionary of 134 000 words;
the path may take any pronunciation of a word and a pause between any two. 10 ms steps, about 40
times real time on one core, and the same times for the same samples whatever was aligned before.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from itertools import zip_longest
from typing import Any

import numpy as np

from data_build.records import Word
from data_build.speech.pronunciation import guessed_phones, spoken_words
from data_build.speech.word_times import Float32, heard_part, spoken_units
from soundflow.audio.level import audible_blocks
from soundflow.errors import UserError, not_installed
from soundflow.shards.schema import quantise
from soundflow.text.normalize import primary_language

_VERSION = 2  # raise when the same samples get other times
_FRAME_S = 0.01
_LEAST_PAUSE_S = 0.03
# How much earlier than in the sound the path leaves a word for the next one, in the median: 16 ms
# over digits joined without a pause, whose ends are known; 50 ms over sentences, against a
# recogniser of another kind that has no bias on the digits (tests/benchmarks/bench_alignment.py).
_EARLY_S = 0.025
# A little wider than the package's, so that words of 0.3 s find a path.
_BEAMS = {"beam": 1e-56, "pbeam": 1e-56, "wbeam": 1e-40}
# Bases of the logarithms. With the package's own, which comes first, the scores of a voice that
# the models know badly leave the range of the decoder's integers after about 5 s: no path is found
# then, however wide the beams are. Coarser ones do not, but miss pauses.
_LOG_BASES = (1.0001, 1.0002, 1.0003)


class HmmAligner:
    """The models of `pocketsphinx`, loaded at the first use, once a process.

    Raises:
        UserError: if `pocketsphinx` is not installed.
    """

    def __init__(self) -> None:
        try:
            self.id = f"pocketsphinx-{version('pocketsphinx')}-v{_VERSION}"
        except PackageNotFoundError as error:
            raise not_installed("the aligner 'pocketsphinx'", "asr") from error

    def align(self, samples: Float32, text: str, language: str) -> tuple[Word, ...] | None:
        if primary_language(language) != "en":
            raise UserError(
                f"pocketsphinx aligns English only, the text is {language!r}",
                "name another aligner for the language under speech.aligners",
            )
        units = spoken_units(text, language)
        if not units or not len(samples):
            return None
        paths = (_path(_decoder(base), samples, units) for base in _LOG_BASES)
        found = next((path for path in paths if path is not None), None)
        return None if found is None else _as_heard(found, samples)


@lru_cache(maxsize=len(_LOG_BASES))
def _decoder(log_base: float) -> Any:
    try:
        from pocketsphinx import Decoder
    except ImportError as error:
        raise not_installed(f"the aligner 'pocketsphinx' ({error})", "asr") from error
    # The cepstral mean of each utterance alone, so that its times depend on nothing before it.
    return Decoder(lm=None, cmn="batch", loglevel="FATAL", logbase=log_base, **_BEAMS)


def _path(decoder: Any, samples: Float32, units: list[str]) -> tuple[Word, ...] | None:
    """The times of all units; None if no path reaches the end."""
    spoken = [spoken_words(unit, "en") for unit in units]
    words = [word for of_unit in spoken for word in of_unit]
    if not all(spoken):
        return None
    for word in words:
        if decoder.lookup_word(word) is None:
            decoder.add_word(word, " ".join(guessed_phones(word)), True)
    decoder.set_align_text(" ".join(words))
    decoder.start_utt()
    decoder.process_raw(_audible_pcm(samples), no_search=False, full_utt=True)
    decoder.end_utt()
    if decoder.hyp() is None:
        return None
    # Pauses and noises stand in brackets.
    found = [s for s in decoder.seg() if s.word[0] not in "<["]
    if [re.sub(r"\(\d+\)$", "", s.word) for s in found] != words:
        return None
    timed, at = list[Word](), 0
    for unit, of_unit in zip(units, spoken, strict=True):
        first, last = found[at], found[at + len(of_unit) - 1]
        start_s, end_s = first.start_frame * _FRAME_S, (last.end_frame + 1) * _FRAME_S
        timed.append(Word(unit, round(start_s, 3), round(end_s, 3)))
        at += len(of_unit)
    return tuple(timed)


def _as_heard(words: tuple[Word, ...], samples: Float32) -> tuple[Word, ...]:
    """Words that end where they end in the sound.

    A word before another one lasts a little longer than its path; a word before a pause no longer
    than it can be heard, where the path has put the silence behind it into the word.
    """
    audible = audible_blocks(samples)
    heard, at_s = list[Word](), 0.0
    for word, following in zip_longest(words, words[1:]):
        word = replace(word, start_s=max(word.start_s, at_s))
        if following is not None and following.start_s - word.end_s < _LEAST_PAUSE_S:
            word = replace(word, end_s=round(word.end_s + _EARLY_S, 3))
        else:
            word = heard_part(word, audible)
        heard.append(word)
        at_s = word.end_s
    return tuple(heard)


def _audible_pcm(samples: Float32) -> bytes:
    """PCM16 with noise of a few steps, since digital silence has no logarithm."""
    noise = np.random.default_rng(0).integers(-2, 3, len(samples))
    limit = np.iinfo(np.int16).max
    pcm = np.clip(quantise(np.clip(samples, -1, 1)) + noise, -limit, limit).astype(np.int16)
    return bytes(pcm.data)
