"""The gate: checks a rendering by its length, then by the transcript of an ASR model.

A text-to-speech engine may repeat, drop or invent words; a rendering passes when its length is
plausible for its text and its word error rate against the text is at most ``tau_wer``. Spellings
that sound the same are no error: 7:30 or 730, mail box or mailbox.

A text of so few words that one of them exceeds that rate is judged by its sound: the model's own
slips ("bowl", heard as "ball") would otherwise refuse all short texts with a rare word. Its phones
are compared where a dictionary knows all words, so that homophones are equal, else its letters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import numpy.typing as npt
import pydantic.dataclasses
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat

from data_build.speech.asr import AsrModel
from data_build.speech.pronunciation import phones
from soundflow.config.settings import SETTINGS, Fraction, Ordered
from soundflow.protocol.timebase import to_seconds
from soundflow.text.normalize import (
    BY_CHARACTER,
    level_compounds,
    primary_language,
    split_numerals,
    units,
)
from soundflow.text.wer import count_unit_errors

_LEAST_WORDS, _LEAST_CHARACTERS = 3, 6  # that tell a text from others
Float32 = npt.NDArray[np.float32]


@pydantic.dataclasses.dataclass(frozen=True, config=SETTINGS)
class GateConfig:
    """When a rendering passes, and how often it is retried.

    Attributes:
        tau_wer: highest word (or character) error rate that passes; 0.10 is published.
        tau_sound: highest error rate of phones, or letters, of a short text.
        tau_source: a recording of a source with ``check`` is set aside if its text differs from
            what is heard by more than this, in words and in sounds.
        retries: further renderings after one that fails; 2 is published.
        letters_per_s: plausible pace of alphabetic scripts, from slowest to fastest.
        characters_per_s: the same for scripts counted by character.
        slack_s: extra duration allowed (margins, pauses between sentences).
    """

    tau_wer: Fraction = 0.10
    tau_sound: Fraction = 0.10
    tau_source: Fraction = 0.5
    retries: NonNegativeInt = 2
    letters_per_s: Annotated[tuple[PositiveFloat, PositiveFloat], Ordered] = (5.0, 40.0)
    characters_per_s: Annotated[tuple[PositiveFloat, PositiveFloat], Ordered] = (1.5, 12.0)
    slack_s: NonNegativeFloat = 0.8


@dataclass(frozen=True)
class GateResult:
    """The result of the gate.

    Attributes:
        reason: why the rendering is refused; empty where it passed.
        wer: word (or character) error rate; None where the length alone was checked.
    """

    reason: str
    wer: float | None = None

    @property
    def passed(self) -> bool:
        return not self.reason


def check(
    samples: Float32,
    text: str,
    language: str,
    rate: float,
    asr_model: AsrModel | None,
    config: GateConfig,
) -> GateResult:
    """Checks one rendering, (n,) float32 mono.

    Args:
        text: what was to be said, rewritten for speech.
        rate: the pace that was asked for; plausible lengths scale with it.
        asr_model: None checks the length alone.

    Raises:
        CallFailure: if the ASR model is a server and gives no usable answer.
    """
    reason = _implausible_length(to_seconds(len(samples)) * rate, text, language, config)
    if reason:
        return GateResult(reason)
    if asr_model is None:
        return GateResult("")
    transcript = asr_model.transcribe(samples, language)
    said, heard = _compared(text, transcript, language)
    wer = count_unit_errors(said, heard).rate
    if wer is None:
        return GateResult("nothing to compare: the text has no words")
    if wer <= config.tau_wer:
        return GateResult("", wer)
    refused = f"WER {wer:.2f} over {config.tau_wer:.2f}, transcript {transcript!r}"
    if len(said) * config.tau_wer < 1 and _sounds_alike(said, heard, language, config.tau_sound):
        refused = ""
    return GateResult(refused, wer)


def misheard(text: str, transcript: str, language: str, config: GateConfig) -> float | None:
    """The word error rate of a transcript that says something else than a text; None if it fits.

    An ASR model misses words of a recording that is right, so another text is suspected only
    where words and sounds both differ in more than ``tau_source``, and not in the few words of
    which no context helps to tell them.
    """
    said, heard = _compared(text, transcript, language)
    by_character = primary_language(language) in BY_CHARACTER
    if len(said) < (_LEAST_CHARACTERS if by_character else _LEAST_WORDS):
        return None
    wer = count_unit_errors(said, heard).rate
    if wer is None or wer <= config.tau_source:
        return None
    return None if _sounds_alike(said, heard, language, config.tau_source) else wer


def _compared(text: str, transcript: str, language: str) -> tuple[list[str], list[str]]:
    """The words of both without what no voice tells: spelling of numbers and compounds."""
    return level_compounds(
        split_numerals(units(text, language)), split_numerals(units(transcript, language))
    )


def _sounds_alike(said: list[str], heard: list[str], language: str, tau: float) -> bool:
    """Whether two short texts differ in at most ``tau`` of their phones, or of their letters."""
    if primary_language(language) == "en":
        one, other = phones(said), phones(heard)
        if one is not None and other is not None:
            return (count_unit_errors(one, other).rate or 0.0) <= tau
    return (count_unit_errors(list("".join(said)), list("".join(heard))).rate or 0.0) <= tau


def _implausible_length(seconds: float, text: str, language: str, config: GateConfig) -> str:
    by_character = primary_language(language) in BY_CHARACTER
    slowest, fastest = config.characters_per_s if by_character else config.letters_per_s
    letters = sum(c.isalnum() for c in text)
    if seconds > letters / slowest + config.slack_s:
        return f"too long: {seconds:.2f} s for {letters} letters"
    if seconds < letters / fastest:
        return f"too short: {seconds:.2f} s for {letters} letters"
    return ""
