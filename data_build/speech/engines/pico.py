"""SVOX Pico through `py-nanotts` 0.1.1: 16 kHz, six languages, about 200 times real time.

What the package does (read in its C source and measured):

* ``NanoTTS().speak(text, voice, speed, pitch, volume) -> bytes``: PCM16 at 16 kHz, with about
  60 ms of silence before and 200 ms after. Speed (0.2-5) and pitch (0.5-2) are both linear factors
  in steps of 0.01 and independent of each other.
* The text is read as Pico mark-up, so ``<`` opens a tag. A lone "!!!" is read out by name.
* At its own volume some words clip; 0.6 leaves about 2 dB.
* It synthesises from an uninitialised ``malloc`` block, so the last bits of the samples
  depend on what the process did before. See `_zeroed_malloc`.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version

import numpy as np

from data_build.speech.engines.engine import Float32, require_latin, unspeakable
from soundflow.audio.level import audible_blocks
from soundflow.errors import not_installed
from soundflow.protocol.timebase import FRAME_SAMPLES

VOICES = {"en-US": "en", "en-GB": "en", "de-DE": "de", "es-ES": "es", "fr-FR": "fr", "it-IT": "it"}
_VOLUME = 0.6
_PAUSE_BLOCKS, _CLICK_BLOCKS = 30, 4  # of 10 ms
_VERSION = 2  # raise when the same text gives other samples
_M_PERTURB = -6  # malloc.h
_lock = threading.Lock()


class Pico:
    """SVOX Pico. It has no randomness: every ``take`` is the same.

    Raises:
        UserError: if `py-nanotts` is not installed.
    """

    sample_rate_hz = 16_000
    voices = VOICES
    controls = frozenset({"rate", "pitch"})

    def __init__(self) -> None:
        try:
            from py_nanotts import NanoTTS
        except ImportError as error:
            raise not_installed(f"the speech engine 'pico' ({error})", "voices") from error
        self._tts = NanoTTS()

    @property
    def id(self) -> str:
        return f"pico-{version('py-nanotts')}-v{_VERSION}"

    def speak(self, text: str, name: str, *, rate: float, pitch: float, take: int) -> Float32:
        plain = text.replace("<", " ").replace(">", " ").replace("\0", " ")
        require_latin(plain, "pico")
        with _lock, _zeroed_malloc():
            pcm = self._tts.speak(plain, voice=name, speed=rate, pitch=pitch, volume=_VOLUME)
        samples = np.frombuffer(pcm, "<i2")
        if not samples.any():
            raise unspeakable(text, f"pico {name} has no sounds for it")
        return without_last_click(samples.astype(np.float32) / np.float32(32768.0))


def without_last_click(samples: Float32) -> Float32:
    """Cuts a click of at most 40 ms behind a pause of 0.3 s or more.

    The Italian voice ends every sentence with one, and the Spanish voice some: about 38 dB below
    the speech and half a second behind it, where it would count as the end of what is said.
    """
    loud = np.flatnonzero(audible_blocks(samples))
    pauses = np.flatnonzero(np.diff(loud) > _PAUSE_BLOCKS)
    if not len(pauses) or loud[-1] - loud[pauses[-1] + 1] >= _CLICK_BLOCKS:
        return samples
    return samples[: (int(loud[pauses[-1]]) + _PAUSE_BLOCKS) * FRAME_SAMPLES]


@contextmanager
def _zeroed_malloc() -> Iterator[None]:
    """Every block that malloc hands out meanwhile is zeros, so that Pico repeats itself exactly.

    glibc fills new blocks with the complement of the perturb byte. Other C libraries have no such
    switch; there, repeated calls may differ by one or two parts in a thousand.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        yield
        return
    mallopt(_M_PERTURB, 0xFF)
    try:
        yield
    finally:
        mallopt(_M_PERTURB, 0)
