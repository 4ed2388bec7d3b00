"""`hibari-tts` 0.2.1: one American voice, 24 kHz, an 8 MB network under onnxruntime.

What the package does (read in its source and measured): ``phonemize(text)`` gives one phoneme
string a sentence; the network turns each into spectra and an F0 curve (12.5 ms frames, 80 Hz); the
package's own vocoder filters a pulse train of that F0 and adds seeded noise. Speed (0.5-2) is an
input of the network. Pitch is not offered, but the vocoder takes the F0 curve apart from the filter
of the pulses. That filter is only meaningful at the harmonics it was made for, so a changed pitch
needs both: F0 scaled, and the filter resampled from the old harmonics (see `_between_harmonics`).

Only the voice inside the wheel is listed: the others would be fetched on first use.
"""

from __future__ import annotations

from importlib.metadata import version

import numpy as np

from data_build.speech.engines.engine import Float32, require_latin, unspeakable
from soundflow.errors import UserError, not_installed

VOICES = {"heart": "en"}
_BIN_HZ = 20.0  # 24 kHz / 1200-point FFT
_VOICED_HZ = 40.0  # the vocoder's own threshold


class Hibari:
    """hibari with one thread and seeded noise; ``take`` is the seed of the noise.

    Raises:
        UserError: if `hibari-tts` is not installed.
    """

    sample_rate_hz = 24_000
    voices = VOICES
    controls = frozenset({"rate", "pitch"})

    def __init__(self) -> None:
        try:
            from hibari import Hibari as HibariTts
            from hibari import dsp
        except ImportError as error:
            raise not_installed(f"the speech engine 'hibari' ({error})", "voices") from error
        self._dsp = dsp
        # One thread: sums in a fixed order, and the build runs a process a core anyway.
        self._tts = HibariTts(voice="heart", threads=1)

    @property
    def id(self) -> str:
        return f"hibari-{version('hibari-tts')}"

    def speak(self, text: str, name: str, *, rate: float, pitch: float, take: int) -> Float32:
        if name not in VOICES:
            raise UserError(f"hibari has no voice {name!r}", f"one of {', '.join(VOICES)}")
        require_latin(text, "hibari")
        rng = np.random.default_rng(take)
        sentences = [
            self._sentence(phonemes, rate, pitch, rng) for phonemes in self._tts.phonemize(text)
        ]
        if not sum(map(len, sentences)):
            raise unspeakable(text, "hibari has no sounds for it")
        return np.concatenate(sentences)

    def _sentence(
        self, phonemes: str, rate: float, pitch: float, rng: np.random.Generator
    ) -> Float32:
        ids = self._tts.ids(phonemes)
        if len(ids) < 3:  # only the two pads
            return np.zeros(0, np.float32)
        inputs = {"ids": np.asarray([ids], np.int64), "speed": np.asarray([rate], np.float32)}
        outputs = (out[0] for out in self._tts.sess.run(None, inputs))
        magnitude, phase, noise, rest_magnitude, rest_phase, f0 = outputs
        if pitch != 1.0:
            magnitude, phase = _between_harmonics(magnitude, phase, f0)
            f0 = f0 * np.float32(pitch)
        samples: Float32 = self._dsp.synth(
            magnitude, phase, noise, rest_magnitude, rest_phase, f0, rng
        )
        return samples


def _between_harmonics(magnitude: Float32, phase: Float32, f0: Float32) -> tuple[Float32, Float32]:
    """The filter of the pulses as if it had been drawn through its values at the harmonics of F0.

    Args:
        magnitude, phase: (n_bins, n_frames), bins `_BIN_HZ` apart.
        f0: (n_frames,) Hz.

    Returns:
        Log-magnitude interpolated linearly between harmonics, phase taken from the nearest one;
        unvoiced frames as they were.
    """
    magnitude, phase = magnitude.copy(), phase.copy()
    bins_hz = np.arange(len(magnitude)) * _BIN_HZ
    for frame in np.flatnonzero(f0 > _VOICED_HZ):
        harmonics_hz = np.arange(1, int(bins_hz[-1] // f0[frame]) + 1) * f0[frame]
        at_harmonics = np.interp(harmonics_hz, bins_hz, magnitude[:, frame])
        magnitude[:, frame] = np.interp(bins_hz, harmonics_hz, at_harmonics)
        nearest_hz = np.clip(np.rint(bins_hz / f0[frame]), 1, len(harmonics_hz)) * f0[frame]
        phase[:, frame] = phase[np.rint(nearest_hz / _BIN_HZ).astype(int), frame]
    return magnitude, phase
