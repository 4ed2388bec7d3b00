from __future__ import annotations

from pathlib import Path

import pytest

from data_build.clip_cache import ClipCache
from data_build.drops import Dropped
from data_build.randomness import generator
from data_build.records import Clip, Dialogue, DialogueTurn, Origin, Prepared, Unspoken
from data_build.speech.render import Tally
from data_build.speech.setup import SpeechConfig, speech_sources
from data_build.speech.speech_source import SpeechSource
from data_build.speech.voices import VoicePool
from soundflow.audio.files import read_audio
from soundflow.protocol.timebase import to_seconds

pytest.importorskip("py_nanotts")
ORIGIN = Origin("talks", "CC0-1.0")
CONFIG = SpeechConfig(VoicePool(("pico:en-US", "pico:en-GB", "pico:de-DE")), asr_models={})


def sources(folder: Path, seed: int = 1) -> dict[str, SpeechSource]:
    return speech_sources(CONFIG, {"train": 3, "test": 2}, seed, ClipCache(folder), Tally())


def sentence(text: str, language: str = "en", **more: str) -> Clip:
    return Clip("s1", "speech", Unspoken(), ORIGIN, text=text, language=language, **more)  # type: ignore[arg-type]


def talk(*turns: str) -> Dialogue:
    said = tuple(DialogueTurn(t, f"**Reply** to {i} 🙂", "sad") for i, t in enumerate(turns))
    return Dialogue("d1", said, ORIGIN)


def test_an_unspoken_clip_gets_a_voice_of_the_split_and_keeps_its_facts(tmp_path: Path) -> None:
    source = sources(tmp_path)["train"]
    clip = source.speak(
        sentence("It costs $5.", translation="Es kostet 5 $."), source.voices("en")[0]
    )
    assert isinstance(clip.audio, Prepared)
    assert clip.text == "It costs five dollars."
    assert (clip.translation, clip.origin, clip.language) == ("Es kostet 5 $.", ORIGIN, "en")
    assert clip.speaker in {v.id for v in source.voices("en")}
    assert clip.id.startswith(f"s1@{clip.speaker}")
    assert clip.notes["written"] == "It costs $5."
    assert clip.notes["rewritten"] == ["currency"]
    samples = read_audio(clip.audio.path)
    assert to_seconds(len(samples)) == clip.duration_s
    assert source.speak(clip, source.voices("en")[1]) is clip


def test_a_text_exists_in_as_many_voices_as_the_split_has(tmp_path: Path) -> None:
    source = sources(tmp_path)["train"]
    clips = [
        source.speak(sentence("Good morning."), source.voice("en", generator(n))) for n in range(30)
    ]
    assert {c.speaker for c in clips} == {v.id for v in source.voices("en")}
    assert len({c.audio.path for c in clips if isinstance(c.audio, Prepared)}) == 3
    assert len({c.id for c in clips}) == 3


def test_the_same_generator_gives_the_same_clip_whatever_was_said_before(tmp_path: Path) -> None:
    first = sources(tmp_path / "a")["test"]
    first.say("Something else.", first.voice("en", generator(9)))
    one = first.say("What was that?", first.voice("en", generator(7)))
    second = sources(tmp_path / "b")["test"]
    other = second.say("What was that?", second.voice("en", generator(7)))
    assert (one.id, one.notes) == (other.id, other.notes)
    assert one.text == "What was that?"


def test_a_phrase_is_in_its_language_or_by_the_voice_given(tmp_path: Path) -> None:
    source = sources(tmp_path)["train"]
    german = source.say("Guten Morgen.", source.voice("de-DE", generator(1)))
    assert (german.language, german.notes["voice"]["name"]) == ("de", "de-DE")
    by = source.voices("en")[1]
    assert source.say("Be quiet.", by).speaker == by.id


def test_a_dialogue_is_spoken_by_one_voice(tmp_path: Path) -> None:
    source = sources(tmp_path)["train"]
    turns = source.converse(talk("How much is $5?", "And two?"), source.voices("en")[0])
    assert [t.clip.text for t in turns] == ["How much is five dollars?", "And two?"]
    assert len({t.clip.speaker for t in turns}) == 1
    assert [t.assistant for t in turns] == ["Reply to 0", "Reply to 1"]
    assert turns[0].emotion == "sad"
    assert turns[0].clip.id.startswith("d1/0@")


def test_one_turn_that_cannot_be_spoken_drops_the_dialogue(tmp_path: Path) -> None:
    source = sources(tmp_path)["train"]
    with pytest.raises(Dropped) as dropped:
        source.converse(talk("Hello there.", "你好"), source.voices("en")[0])
    drop = dropped.value.drop
    assert (drop.step, drop.reason) == ("speech", "pico cannot pronounce these letters")
    assert drop.item.startswith("d1/1: ")


def test_nothing_is_loaded_before_the_first_text(tmp_path: Path) -> None:
    config = SpeechConfig(VoicePool(("nobody:anna",)))
    speech_sources(config, {"train": 1}, 0, ClipCache(tmp_path), Tally())
