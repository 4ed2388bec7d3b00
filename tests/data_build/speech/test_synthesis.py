from __future__ import annotations

import hashlib
import subprocess
import sys
from typing import ClassVar

import numpy as np
import pytest

from data_build.drops import Dropped
from data_build.records import Voice
from data_build.speech.engines.pico import without_last_click
from data_build.speech.setup import SpeechConfig, make_engine
from data_build.speech.voices import MARGIN_SAMPLES, synthesise, trim_silence
from soundflow.errors import UserError
from soundflow.protocol.timebase import SAMPLE_RATE_HZ
from tests.data_build.speech.embedded import speech

TEXT = "Please turn on the kitchen light."
PICO = Voice("pico", "en-US")
HIBARI = Voice("hibari", "heart")


def _needs(*engines: str) -> None:
    modules = {"pico": "py_nanotts", "hibari": "hibari"}
    for engine in engines:
        pytest.importorskip(modules[engine])


def _sha(voice: Voice, text: str = TEXT) -> str:
    return hashlib.sha256(speech(text, voice).tobytes()).hexdigest()


def _f0_hz(samples: np.ndarray) -> float:
    """Median of the autocorrelation pitch over the loud half of the frames."""
    frames = np.lib.stride_tricks.sliding_window_view(samples, 1024)[::320]
    frames = frames[np.argsort((frames**2).sum(axis=1))[len(frames) // 2 :]]
    lags = np.arange(SAMPLE_RATE_HZ // 450, SAMPLE_RATE_HZ // 70)
    spectra = np.abs(np.fft.rfft(frames, 2048)) ** 2
    correlation = np.fft.irfft(spectra)[:, : lags[-1] + 1]
    return float(np.median(SAMPLE_RATE_HZ / lags[correlation[:, lags].argmax(axis=1)]))


class Buzz:
    """An engine of one formant: 2 / rate seconds of pulses at 100 x pitch Hz, each ringing."""

    FORMANT_HZ = 1000.0
    sample_rate_hz = 24_000
    voices: ClassVar = {"buzz": "en"}
    controls = frozenset({"rate", "pitch"})
    id = "buzz"

    def speak(self, text: str, name: str, *, rate: float, pitch: float, take: int) -> np.ndarray:
        pulses = np.zeros(round(2 * self.sample_rate_hz / rate))
        pulses[:: round(self.sample_rate_hz / (100 * pitch))] = 1.0
        t = np.arange(600) / self.sample_rate_hz
        ring = np.exp(-400 * t) * np.sin(2 * np.pi * self.FORMANT_HZ * t)
        return (0.5 * np.convolve(pulses, ring)).astype(np.float32)


def _formant_hz(samples: np.ndarray) -> float:
    """Where the envelope of the spectrum peaks: harmonics smoothed away by a short window."""
    loudest = int(np.abs(samples[4000:8000]).argmax()) + 4000
    spectrum = np.abs(np.fft.rfft(samples[loudest : loudest + 120], 16_000))
    return float(spectrum.argmax())


@pytest.mark.parametrize("voice", [PICO, HIBARI, Voice("hibari", "heart", "en", 1.1, 0.9, 1.05)])
def test_same_bytes_in_another_process_with_another_history(voice: Voice) -> None:
    _needs("pico", "hibari")
    # The other process speaks something else first and litters its heap.
    script = (
        "import hashlib, numpy as np\n"
        "from data_build.records import Voice\n"
        "from tests.data_build.speech.embedded import speech\n"
        "speech('Something else entirely, and longer.', Voice('pico', 'en-GB', rate=1.2))\n"
        "speech('Something else entirely.', Voice('hibari', 'heart', pitch=1.2))\n"
        "junk = [np.random.rand(150_000) for _ in range(60)]; del junk\n"
        f"print(hashlib.sha256(speech({TEXT!r}, {voice!r}).tobytes()).hexdigest())\n"
    )
    other = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert _sha(voice) == other.stdout.strip()
    assert _sha(voice) == _sha(voice)


@pytest.mark.parametrize("base", [PICO, HIBARI])
def test_pitch_moves_the_fundamental_and_rate_the_pace(base: Voice) -> None:
    """The network behind hibari renders another intonation on another processor, and for another
    pace. The factors asked for are a quarter apart: half of that tells them apart.
    """
    _needs(base.engine)
    vowels = "We are all away now, and you are all away too."

    def speak(**factors: float) -> np.ndarray:
        return speech(vowels, Voice(base.engine, base.name, **factors))  # type: ignore[arg-type]

    plain, high, low = speak(), speak(pitch=1.25), speak(pitch=0.8)
    assert _f0_hz(high) / _f0_hz(plain) == pytest.approx(1.25, rel=0.12)
    assert _f0_hz(low) / _f0_hz(plain) == pytest.approx(0.8, rel=0.12)
    assert len(high) / len(plain) == pytest.approx(1.0, abs=0.12)
    assert len(speak(rate=1.4)) < 0.85 * len(plain)


@pytest.mark.parametrize("warp", [0.87, 1.15])
def test_warp_moves_the_formants_alone(warp: float) -> None:
    """Of an engine whose formant is known: what a network renders differs between processors."""
    bent = synthesise("x", Voice("buzz", "buzz", warp=warp), Buzz())
    plain = synthesise("x", Voice("buzz", "buzz"), Buzz())
    assert _formant_hz(plain) == pytest.approx(1000, rel=0.03)
    assert _formant_hz(bent) / _formant_hz(plain) == pytest.approx(warp, rel=0.03)
    assert _f0_hz(bent) / _f0_hz(plain) == pytest.approx(1.0, abs=0.02)
    assert len(bent) / len(plain) == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("voice", [PICO, HIBARI])
def test_margins_are_exact_and_hold_no_speech(voice: Voice) -> None:
    _needs(voice.engine)
    samples = speech(TEXT, voice)
    loudest = (samples[: len(samples) // 160 * 160].reshape(-1, 160) ** 2).mean(axis=1).max()
    gate = loudest * 10**-4.2
    between = samples[MARGIN_SAMPLES:-MARGIN_SAMPLES]
    assert (between[:160] ** 2).mean() > gate
    assert (between[-160:] ** 2).mean() > gate
    assert (samples[: MARGIN_SAMPLES - 160] ** 2).mean() <= gate
    assert (samples[-MARGIN_SAMPLES:] ** 2).mean() <= gate
    assert samples.dtype == np.float32
    assert np.abs(samples).max() <= 1.0


def test_trimming_pads_where_the_take_is_too_short() -> None:
    tone = np.sin(np.arange(1600) / 5).astype(np.float32)
    trimmed = trim_silence(tone)
    assert len(trimmed) == 1600 + 2 * MARGIN_SAMPLES
    np.testing.assert_array_equal(trimmed[MARGIN_SAMPLES:-MARGIN_SAMPLES], tone)
    assert not trimmed[:MARGIN_SAMPLES].any()


def test_the_click_behind_an_italian_sentence_is_cut() -> None:
    _needs("pico")
    samples = speech("Il treno parte alle otto.", Voice("pico", "it-IT", "it"))
    assert len(samples) < 1.9 * 16_000  # 2.4 s with the click and the pause before it
    tone = np.sin(np.arange(8_000) / 5).astype(np.float32)
    silence = np.zeros(8_000, np.float32)
    click = 0.02 * tone[:320]
    assert len(without_last_click(np.concatenate([tone, silence, click]))) < 16_000
    assert len(without_last_click(np.concatenate([tone, silence, tone]))) == 24_000  # a word
    assert len(without_last_click(np.concatenate([tone, click]))) == 8_320
    assert len(without_last_click(silence)) == 8_000


@pytest.mark.parametrize("engine", ["pico", "hibari"])
@pytest.mark.parametrize("text", ["", "  ", "!!!", "你好"])
def test_text_without_sounds_is_dropped(engine: str, text: str) -> None:
    _needs(engine)
    with pytest.raises(Dropped):
        speech(text, Voice(engine, {"pico": "en-US", "hibari": "heart"}[engine]))


@pytest.mark.parametrize("samples", [[], [0.0] * 800, [0.1, float("nan")] * 800])
def test_an_engine_that_gives_no_sound_drops_the_text(samples: list[float]) -> None:
    class Broken:
        id, sample_rate_hz, voices = "broken", 16_000, {"one": "en"}
        controls = frozenset[str]()

        def speak(
            self, text: str, name: str, *, rate: float, pitch: float, take: int
        ) -> np.ndarray:
            return np.asarray(samples, np.float32)

    with pytest.raises(Dropped, match="broken gives"):
        synthesise("good day", Voice("broken", "one", "en"), Broken())


def test_mark_up_in_the_text_is_not_obeyed() -> None:
    _needs("pico")
    assert _sha(PICO, "good <pitch level='50'>day") != _sha(PICO, "good day")
    plain = speech("good day", PICO)
    assert np.array_equal(speech("good < day", PICO), speech("good   day", PICO))
    assert len(plain) > 0


def test_an_unknown_engine_is_named_with_its_neighbour() -> None:
    with pytest.raises(UserError) as caught:
        make_engine("pica", SpeechConfig())
    assert "'pica'" in caught.value.message
    assert "pico" in caught.value.hint


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    from data_build.speech.engines.pico import Pico

    monkeypatch.setitem(sys.modules, "py_nanotts", None)
    with pytest.raises(UserError) as caught:
        Pico()
    assert "[voices]" in caught.value.hint


def test_impossible_factors_are_refused() -> None:
    with pytest.raises(ValueError, match=r"warp .* got 3"):
        Voice("pico", "en-US", warp=3.0)
