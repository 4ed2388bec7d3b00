from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from data_build.records import Voice
from data_build.speech.aligners.phones import PhoneAligner
from data_build.speech.setup import SpeechConfig, second_aligners
from data_build.speech.voices import MARGIN_SAMPLES
from soundflow.audio.level import audible_span
from soundflow.errors import UserError
from soundflow.protocol.timebase import to_seconds
from tests.data_build.speech.aligners.joined import TEXT, joined_words
from tests.data_build.speech.embedded import speech

pytest.importorskip("hama")
pytest.importorskip("py_nanotts")


def test_known_word_times_are_found() -> None:
    samples, ends_s = joined_words()
    words = PhoneAligner().align(samples, TEXT, "en-US")
    assert words is not None
    assert [w.text for w in words] == TEXT.split()
    off_s = [abs(w.end_s - end_s) for w, end_s in zip(words, ends_s, strict=True)]
    assert np.median(off_s) <= 0.03
    assert PhoneAligner().align(samples, TEXT, "en") == words


@pytest.mark.parametrize(
    ("language", "voice", "text"),
    [
        ("de", "de-DE", "Wir fahren morgen nach Hause."),
        ("fr", "fr-FR", "Nous partons demain matin."),
        ("es", "es-ES", "Mi madre vive en Sevilla."),
        ("it", "it-IT", "Domani piove tutto il giorno."),
    ],
)
def test_words_of_other_languages_are_found_by_the_nearest_phones(
    language: str, voice: str, text: str
) -> None:
    parts, ends_s, at = list[np.ndarray](), list[float](), 0
    for word in text.split():
        said = speech(word.strip("."), Voice("pico", voice, language))[:-MARGIN_SAMPLES]
        at += len(said)
        parts.append(said)
        ends_s.append(to_seconds(at))
    words = PhoneAligner().align(np.concatenate(parts), text, language)
    assert words is not None
    assert [w.text for w in words] == text.split()
    off_s = [abs(w.end_s - end_s) for w, end_s in zip(words, ends_s, strict=True)]
    assert np.median(off_s) <= 0.06
    assert max(off_s) <= 0.2


def test_mandarin_words_are_found(shared: Path) -> None:
    pytest.importorskip("pypinyin")
    folder = shared / "data"
    rows = map(json.loads, (folder / "manifest.jsonl").read_text().splitlines())
    mine = [row for row in rows if row.get("language") == "zh"][:8]
    whole = [soundfile.read(folder / row["path"], dtype="float32")[0] for row in mine]
    parts = [samples[slice(*audible_span(samples))] for samples in whole]
    ends_s = np.cumsum([to_seconds(len(part)) for part in parts])
    text = "，".join(row["text"] for row in mine) + "。"
    words = PhoneAligner().align(np.concatenate(parts), text, "zh-CN")
    assert words is not None
    assert "".join(w.text for w in words) == text.replace("，", "").replace("。", "")
    last = np.cumsum([len(row["text"]) for row in mine]) - 1
    off_s = [abs(words[at].end_s - end_s) for at, end_s in zip(last, ends_s, strict=True)]
    assert np.median(off_s) <= 0.12


def test_what_it_cannot_align_is_said() -> None:
    aligner = PhoneAligner()
    second = np.ones(16_000, np.float32)
    assert aligner.align(second, "Many more words than anybody could say " * 9, "en") is None
    assert aligner.align(second, "...", "en") is None
    assert aligner.align(second[:0], "Yes.", "en") is None
    with pytest.raises(UserError, match="hama aligns de, en, es, fr, it, zh"):
        aligner.align(second, "Да.", "ru")


def test_a_second_aligner_is_of_another_kind() -> None:
    second = second_aligners(SpeechConfig(asr_models={}))
    assert {code: a.id.split("-")[0] for code, a in second.items()} == {"en": "hama"}
    swapped = SpeechConfig(asr_models={}, aligners={"en": "hama"})
    assert sorted(second_aligners(swapped)) == ["de", "es", "fr", "it", "zh"]
