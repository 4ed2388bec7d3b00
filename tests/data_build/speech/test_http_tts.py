"""The HTTP voice engine against a real server with real speech, which also misbehaves."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
import soundfile

from data_build.drops import Dropped
from data_build.records import Voice
from data_build.speech.engines.http_tts import HttpVoices, HttpVoicesConfig
from data_build.speech.voices import synthesise
from soundflow.endpoints.http_calls import Endpoint
from soundflow.errors import UserError
from tests.data_build.speech.audio_server import Answer, Asked, AudioServer
from tests.data_build.speech.embedded import speech

pytest.importorskip("py_nanotts")
TEXT = "The water is boiling over."


def spoken(text: str = TEXT, rate: float = 1.0) -> np.ndarray:
    return speech(text, Voice("pico", "en-GB", rate=rate))


def wav(samples: np.ndarray, rate_hz: int = 16_000) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate_hz, format="WAV", subtype="PCM_16")
    return buffer.getvalue()


def pcm(samples: np.ndarray) -> bytes:
    return (samples * 32767).astype("<i2").tobytes()


def voices_of(url: str, **settings: object) -> HttpVoices:
    # Patient everywhere but against a server that is slow on purpose: test machines are busy.
    timeout_s = 1.0 if settings.pop("impatient", False) else 30.0
    endpoint = Endpoint(url, backoff_s=0.01, timeout_s=timeout_s, item_limit_s=90.0, retries=2)
    base = {"voices": {"anna": "en"}, "endpoint": endpoint}
    return HttpVoices(HttpVoicesConfig(**(base | settings)))  # type: ignore[arg-type]


def test_openai_speech_comes_back_as_sent_and_at_the_pace_asked_for() -> None:
    def answer(_: int, asked: Asked) -> Answer:
        return Answer(wav(spoken(asked.fields["input"], asked.fields["speed"])))

    with AudioServer(answer) as server:
        engine = voices_of(server.url + "/v1", sample_rate_hz=16_000)
        samples = engine.speak(TEXT, "anna", rate=1.2, pitch=1.0, take=3)
        engine.caller.close()
    np.testing.assert_allclose(samples, spoken(rate=1.2), atol=1e-4)
    (asked,) = server.asked
    assert asked.path == "/v1/audio/speech"
    assert asked.fields["voice"] == "anna"
    assert asked.fields["seed"] == 3
    assert asked.fields["response_format"] == "wav"


def test_cosyvoice_takes_a_form_and_gives_bare_pcm_at_its_own_rate() -> None:
    with AudioServer(lambda n, asked: Answer(pcm(spoken(asked.fields["tts_text"])))) as server:
        engine = voices_of(server.url, dialect="cosyvoice", sample_rate_hz=16_000)
        voice = Voice("cosy", "anna", warp=1.1, pitch=1.1, rate=1.1)
        faster = synthesise(TEXT, voice, engine)
        with pytest.raises(UserError, match="cannot change rate"):
            synthesise(TEXT, Voice("cosy", "anna", warp=1.1), engine)
        engine.caller.close()
    assert server.asked[0].path == "/inference_sft"
    assert server.asked[0].fields == {"tts_text": TEXT, "spk_id": "anna"}
    # Plain resampling: 1.1 times as fast.
    assert len(faster) == pytest.approx(len(spoken()) / 1.1, rel=0.03)


def test_another_rate_is_resampled() -> None:
    tone = np.sin(np.arange(48_000) * 2 * np.pi * 440 / 48_000).astype(np.float32) * 0.5
    with AudioServer(lambda n, asked: Answer(wav(tone, 48_000))) as server:
        engine = voices_of(server.url, sample_rate_hz=24_000)
        assert len(engine.speak("la", "anna", rate=1.0, pitch=1.0, take=0)) == 24_000
        engine.caller.close()


SPOKEN = wav(spoken())
BAD: dict[str, Callable[[], Answer]] = {
    "slow": lambda: Answer(b"", after_s=3.0),
    "server error": lambda: Answer(b"out of memory", status=500),
    "busy": lambda: Answer(b"", status=429),
    "cut connection": lambda: Answer(SPOKEN[:2000], cut=True),
    "truncated file": lambda: Answer(SPOKEN[:2000]),
    "not audio": lambda: Answer(b'{"error": "no such voice"}'),
    "empty": lambda: Answer(b""),
    "header alone": lambda: Answer(b"RIFF"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_answer_is_asked_for_again(name: str) -> None:
    with AudioServer(lambda n, asked: BAD[name]() if n == 0 else Answer(SPOKEN)) as server:
        engine = voices_of(server.url, sample_rate_hz=16_000, impatient=name == "slow")
        samples = engine.speak(TEXT, "anna", rate=1.0, pitch=1.0, take=0)
        engine.caller.close()
    assert len(server.asked) == 2
    assert len(samples) == len(spoken())
    assert engine.caller.counts.retries == 1


@pytest.mark.parametrize("name", ["server error", "truncated file", "slow"])
def test_a_server_that_stays_bad_fails_the_rendering(name: str) -> None:
    with AudioServer(lambda n, asked: BAD[name]()) as server:
        engine = voices_of(server.url, impatient=name == "slow")
        with pytest.raises(Dropped):
            engine.speak(TEXT, "anna", rate=1.0, pitch=1.0, take=0)
        engine.caller.close()
    assert len(server.asked) == 3
    assert sum(engine.caller.counts.failures.values()) == 1


def test_silence_and_unknown_voices_are_refused() -> None:
    with AudioServer(lambda n, asked: Answer(wav(np.zeros(8000, np.float32)))) as server:
        engine = voices_of(server.url)
        with pytest.raises(Dropped, match="silence"):
            engine.speak(TEXT, "anna", rate=1.0, pitch=1.0, take=0)
        with pytest.raises(UserError, match="'otto'"):
            engine.speak(TEXT, "otto", rate=1.0, pitch=1.0, take=0)
        engine.caller.close()


def test_impossible_settings_are_named() -> None:
    with pytest.raises(ValueError, match="dialect"):
        HttpVoicesConfig(voices={"a": "en"}, dialect="festival")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="voices"):
        HttpVoicesConfig(voices={})
