"""The interface of a speech engine: text in, samples out, no state."""

from __future__ import annotations

import unicodedata
from typing import Protocol

import numpy as np
import numpy.typing as npt

from data_build.drops import Drop, Dropped

Float32 = npt.NDArray[np.float32]


STEP = "speech"


def unspeakable(text: str, reason: str, detail: str = "") -> Dropped:
    """The exception for a text that cannot be synthesised well enough.

    Args:
        reason: equal for all texts with the same fault.
        detail: what differs from text to text.
    """
    return Dropped(Drop(STEP, f"{text!r}: {detail}" if detail else repr(text), reason))


def require_latin(text: str, engine: str) -> None:
    """Refuses letters that an engine for Latin scripts would silently skip.

    Raises:
        Dropped: if nothing in ``text`` is spoken, or some letter would be left out.
    """
    foreign = [c for c in text if c.isalpha() and not unicodedata.name(c, "").startswith("LATIN")]
    if foreign:
        raise unspeakable(text, f"{engine} cannot pronounce these letters", "".join(foreign[:8]))
    if not any(c.isalnum() for c in text):
        raise unspeakable(text, f"{engine} has nothing to speak")


class SpeechEngine(Protocol):
    """One synthesiser. `speak` is a pure function of its arguments: same bytes in any process.

    Engines give what they were made for; silence trimming, vocal-tract warp and resampling happen
    once for all of them in `data_build.speech.voices.synthesise`.
    """

    @property
    def sample_rate_hz(self) -> int:
        """Rate of what `speak` returns."""

    @property
    def voices(self) -> dict[str, str]:
        """Voice name -> language ("en", "zh", ...)."""

    @property
    def controls(self) -> frozenset[str]:
        """Which of "rate" and "pitch" the engine can change; the others must be asked for as 1."""

    @property
    def id(self) -> str:
        """Engine and version: renderings of different ids may differ."""

    def speak(self, text: str, name: str, *, rate: float, pitch: float, take: int) -> Float32:
        """Speaks ``text`` with the voice ``name``.

        Args:
            rate: 1 is the engine's own pace, 2 twice as fast.
            pitch: factor on the fundamental frequency, formants unchanged.
            take: another number gives another rendering of the same words, if the engine has any
                randomness.

        Returns:
            (n_samples,) float32 mono in [-1, 1].

        Raises:
            Dropped: if there is no sound for this text.
            ServerGone: if the engine is a server that has stopped answering.
        """
