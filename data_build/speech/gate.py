"""The gate: checks a rendering by its length, then by the transcript of an ASR model.

A text-to-speech engine may repeat, drop or invent words; a rendering passes when its length is
plausible for its text and its word error rate against the text is at most ``tau_wer``. Spellings
that sound the same are no error: 7:30 or 730, mail box or mailbox.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import numpy.typing as npt
import pydantic.dataclasses
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat

from data_build.speech.asr import AsrModel
from soundflow.config.settings import SETTINGS, Fraction, Ordered
from soundflow.protocol.timebase import to_seconds
from soundflow.text.normalize import BY_CHARACTER, level_compounds, split_numerals, units
from soundflow.text.wer import count_unit_errors

Float32 = npt.NDArray[np.float32]


@pydantic.dataclasses.dataclass(frozen=True, config=SETTINGS)
class GateConfig:
    """When a rendering passes, and how often it is retried.

    Attributes:
        tau_wer: highest word (or character) error rate that passes; 0.10 is published.
        retries: further renderings after one that fails; 2 is published.
        letters_per_s: plausible pace of alphabetic scripts, from slowest to fastest.
        characters_per_s: the same for scripts counted by character.
        slack_s: extra duration allowed (margins, pauses between sentences).
    """

    tau_wer: Fraction = 0.10
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
    errors = count_unit_errors(
        *level_compounds(
            split_numerals(units(text, language)), split_numerals(units(transcript, language))
        )
    )
    if errors.rate is None:
        return GateResult("nothing to compare: the text has no words")
    if errors.rate > config.tau_wer:
        refused = f"WER {errors.rate:.2f} over {config.tau_wer:.2f}, transcript {transcript!r}"
        return GateResult(refused, errors.rate)
    return GateResult("", errors.rate)


def _implausible_length(seconds: float, text: str, language: str, config: GateConfig) -> str:
    by_character = language.split("-")[0].lower() in BY_CHARACTER
    slowest, fastest = config.characters_per_s if by_character else config.letters_per_s
    letters = sum(c.isalnum() for c in text)
    if seconds > letters / slowest + config.slack_s:
        return f"too long: {seconds:.2f} s for {letters} letters"
    if seconds < letters / fastest:
        return f"too short: {seconds:.2f} s for {letters} letters"
    return ""
