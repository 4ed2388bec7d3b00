"""What a speech engine is to the rest of the build: text in, samples out, nothing remembered."""

from __future__ import annotations

import unicodedata
from typing import Protocol

import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]


class RenderingFailed(Exception):
    """The engine has no sound for this text, or a server did not give any. Becomes a drop."""


def require_latin(text: str, engine: str) -> None:
    """What engines for Latin scripts need: they skip other letters without a word.

    Raises:
        RenderingFailed: if nothing in ``text`` is spoken, or some letter would be left out.
    """
    foreign = [c for c in text if c.isalpha() and not unicodedata.name(c, "").startswith("LATIN")]
    if foreign:
        raise RenderingFailed(f"{engine} cannot pronounce {''.join(foreign[:8])!r}")
    if not any(c.isalnum() for c in text):
        raise RenderingFailed(f"{engine} has nothing to speak in {text!r}")


class Engine(Protocol):
    """One synthesiser. `speak` is a pure function of its arguments: same bytes in any process.

    Engines give what they were made for; silence trimming, vocal-tract warp and resampling to
    16 kHz happen once for all of them in `data_build.speech.voices.synthesise`.
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
        """Engine and version: renderings with another id are other renderings."""

    def speak(self, text: str, name: str, *, rate: float, pitch: float, take: int) -> Float32:
        """Speaks ``text`` with the voice ``name``.

        Args:
            rate: 1 is the engine's own pace, 2 twice as fast.
            pitch: factor on the fundamental frequency, formants unchanged.
            take: another number is another rendering of the same words, where the engine has
                anything random to vary.

        Returns:
            (n_samples,) float32 mono in [-1, 1].

        Raises:
            RenderingFailed: if nothing audible came out.
        """
