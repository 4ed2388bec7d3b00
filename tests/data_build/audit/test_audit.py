"""The audit finds what is wrong with a corpus, and nothing in one that is right."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from data_build.audit.audit import audit, build_measures, built_split, finished_splits
from data_build.audit.contradictions import AlarmsAnswered, Contradictions
from data_build.audit.evidence import Answers, InaudibleEvents, MaskedEvents, NameableNoise
from data_build.audit.leaks import Leaks
from data_build.audit.limits import AuditLimits
from data_build.audit.measure import AuditedStream, Measure
from data_build.audit.recognised import MixWer, Recognisers, WrittenWords
from data_build.audit.round_trip import RoundTrip
from data_build.audit.variety import Repeats
from data_build.labelling.policy import policy
from data_build.records import Word
from data_build.run import build
from data_build.speech.speech_source import CUE_PHRASES
from data_build.tokenize import online_sample, read_vocabulary
from soundflow.cli import main
from soundflow.config.load import load
from soundflow.protocol.turns import Event, Reply
from soundflow.shards.schema import MixedItem, NoiseTrack, SourceClip, StreamRecord
from tests.data_build.small_recipe import write_recipe
from tests.soundflow.shards.http_store import http_store

VOCABULARY = read_vocabulary("tiny")
LIMITS = AuditLimits()


def item(what: str, at: int, chunk: int | None = None, text: str = "") -> MixedItem:
    """A second of sound; ``chunk`` in which it is answered."""
    clip = SourceClip(what, "test", "CC0-1.0", "", () if text else (what,))
    return MixedItem(
        clip, what, "foreground", at, 16_000, 0.0, at, at + 16_000,
        speaker="anna" if text else "", text=text, reply_chunks=() if chunk is None else (chunk,),
    )  # fmt: skip


def stream(
    *items: MixedItem, said: dict[int, str] | None = None, system: str = "", task: str = "t",
    ability: str = "a", noise: tuple[str, ...] = (), silent: bool = False, any_sound: bool = False,
    buried: bool = False,
) -> AuditedStream:  # fmt: skip
    said = said or {}
    n = 20 * 6_400
    events = [
        Event(i.what, i.on_samples, i.end_samples, i.end_samples, True, (said[c],))
        for i in items
        for c in i.reply_chunks
    ]
    beds = tuple(SourceClip(name, "test", "CC0-1.0", "", (name,)) for name in noise)
    record = StreamRecord(
        "s", "online", ability, task, system, n,
        tuple(Reply(chunk, text) for chunk, text in sorted(said.items())),
        tuple(events), None, items, (NoiseTrack(beds, 10.0),) if beds else (), any_sound=any_sound,
    )  # fmt: skip
    pcm = np.arange(n).astype(np.int16) // 8  # what goes on all the time
    for i in items:
        pcm[i.on_samples : i.end_samples] *= 8 * (not buried) or 1
    return audited(record, pcm * (not silent))


def audited(record: StreamRecord, pcm: np.ndarray) -> AuditedStream:
    sample = online_sample(record, pcm, VOCABULARY)
    return AuditedStream("train", record, VOCABULARY.spec, lambda: sample)


def value(measure: Measure, *streams: AuditedStream) -> float:
    """The figure with a limit, after these streams."""
    for one in streams:
        measure.add(one)
    (figure,) = [f for f in measure.figures() if f.limit is not None]
    assert figure.passed == (not figure.examples)
    return figure.value


def test_one_context_has_one_label() -> None:
    ask, answered = item("turn", 0, 3, "how are you"), {3: "Fine."}
    other = stream(item("turn", 0, 3, "how are you"), said={3: "Wie geht es?"}, ability="b")
    fine = stream(ask, said=answered)
    assert value(Contradictions(LIMITS), fine, fine) == 0
    assert value(Contradictions(LIMITS), fine, stream(item("turn", 0, None, "how are you"))) == 1
    assert value(Contradictions(LIMITS), fine, other) == 1
    same_ability = replace(other, record=replace(other.record, ability="a"))
    assert value(Contradictions(LIMITS), fine, same_ability) == 0  # corpora vary
    told = stream(item("turn", 0, 3, "how are you"), said={3: "X."}, system="Go.", ability="b")
    assert value(Contradictions(LIMITS), fine, told) == 0


def test_a_large_corpus_is_judged_by_a_share_of_its_contexts() -> None:
    measure = Contradictions(LIMITS, kept=20)
    for at in range(400):
        measure.add(stream(item("turn", 0, 3, f"{at % 200} of them"), said={3: "Fine."}))
    for at in range(200):  # now every context has two labels
        measure.add(stream(item("turn", 0, None, f"{at} of them")))
    (figure,) = measure.figures()
    assert figure.value == 1
    n = int(figure.of.split(" of ")[1].split()[0])
    assert 0 < n <= 20
    assert "one in 16 of all" in figure.of


def test_an_alarm_is_answered_everywhere() -> None:
    warned = stream(item("Siren", 0, 3), said={3: "A siren."})
    assert value(AlarmsAnswered(LIMITS), warned, stream(item("Bark", 0))) == 1
    assert value(AlarmsAnswered(LIMITS), warned, stream(item("siren", 0))) == 0.5
    assert value(AlarmsAnswered(LIMITS), warned, stream(noise=("Siren",))) == 0.5


def told(measure: Measure, *streams: AuditedStream) -> dict[str, tuple[str, ...]]:
    """What is said about each figure that misses its limit."""
    for one in streams:
        measure.add(one)
    return {figure.name: figure.examples for figure in measure.figures() if not figure.passed}


def test_a_reply_comes_after_its_evidence() -> None:
    right = stream(item("Bark", 0, 3), said={3: "A dog."})
    assert told(Answers(LIMITS), right) == {}
    assert told(Answers(LIMITS), stream(item("Bark", 0, 1), said={1: "A dog."})) == {
        "early replies": ("train/s: 'A dog.' at 0.8 s answers what is known at 1.0 s",)
    }
    assert told(Answers(LIMITS), stream(said={4: "Out of the blue."})) == {
        "early replies": ("train/s: 'Out of the blue.' at 2.0 s answers nothing",)
    }


def test_labels_that_were_swapped_or_lost_are_told() -> None:
    right = stream(item("Bark", 0, 3), said={3: "A dog."})
    swapped = replace(right, record=replace(right.record, replies=(Reply(3, "A cat."),)))
    lost = replace(right, record=replace(right.record, replies=()))
    silent = ("train/s: Bark at 0.0 s, to be answered by 'A dog.'",)
    assert told(Answers(LIMITS), swapped) == {
        "early replies": ("train/s: 'A cat.' at 1.6 s answers nothing",),
        "unanswered events": silent,
    }
    assert told(Answers(LIMITS), lost) == {"unanswered events": silent}


def test_a_stream_is_there_once() -> None:
    right = stream(item("Bark", 0, 3), said={3: "A dog."})
    other = stream(item("Bark", 1, 3), said={3: "A dog."})
    again = replace(right, record=replace(right.record, id="t"))
    assert told(Repeats(LIMITS), right, other, stream(system="hi"), stream(system="hi")) == {}
    assert told(Repeats(LIMITS), right, other, again) == {
        "repeated streams": ("train/t is train/s again",)
    }


def test_an_event_is_audible() -> None:
    bark = item("Bark", 0, 3)
    assert value(InaudibleEvents(LIMITS), stream(bark, said={3: "A dog."})) == 0
    assert value(InaudibleEvents(LIMITS), stream(bark, said={3: "A dog."}, silent=True)) == 1
    assert value(InaudibleEvents(LIMITS), stream(bark, said={3: "A dog."}, buried=True)) == 1


def test_an_event_is_heard_through_what_sounds_beside_it() -> None:
    clear, masked = (replace(item("Bark", 0, 3), above_rest_db=db) for db in (12.0, -2.5))
    other = replace(item("Bark", 0, 3), above_rest_db=None)  # of a stream that was not mixed
    assert value(MaskedEvents(LIMITS), stream(clear, said={3: "A dog."})) == 0
    both = stream(clear, masked, other, said={3: "A dog."})
    assert value(MaskedEvents(LIMITS), both) == 0.5
    measure = MaskedEvents(LIMITS)
    measure.add(both)
    (figure,) = measure.figures()
    assert (figure.n, figure.shown, figure.verdict) == (2, "50.0 %", "missed")
    assert figure.examples == ("train/s: Bark at 0.0 s, -2.5 dB above the rest",)
    assert list(MaskedEvents(LIMITS).figures()) == []


def test_what_may_be_asked_about_is_not_in_the_noise() -> None:
    assert value(NameableNoise(LIMITS), stream(any_sound=True, noise=("Pink noise",))) == 0
    assert value(NameableNoise(LIMITS), stream(any_sound=True, noise=("Rain",))) == 1
    assert value(NameableNoise(LIMITS), stream(noise=("Rain",))) == 0


def test_splits_share_nothing_but_cues_and_instructions() -> None:
    def figures(*streams: AuditedStream) -> dict[str, float]:
        leaks = Leaks(LIMITS)
        for one in streams:
            leaks.add(one)
        return {f.name.removeprefix("leaks by "): f.value for f in leaks.figures() if f.value}

    def held(of: AuditedStream) -> AuditedStream:
        return replace(of, split="test")

    def translated(text: str, reply: str) -> AuditedStream:
        one = item("speech", 0, 3, text)
        return stream(one, said={3: reply}, ability="streaming_translation")

    fine = stream(item("Bark", 0), item("turn", 0, None, "where is the station"))
    assert figures(fine) == {}
    other = replace(item("turn", 0, None, "the station is there"), speaker="ben")
    assert figures(fine, fine, held(stream(other))) == {}
    assert figures(fine, fine, held(stream(item("Bark", 0)))) == {"clip": 1}
    assert figures(fine, fine, held(stream(noise=("Bark",)))) == {"clip": 1}
    assert figures(fine, fine, held(stream(item("x", 0, None, "Where is the station?")))) == {
        "speaker": 1, "text": 1,
    }  # fmt: skip
    there = translated("wo ist der Bahnhof", "Where is it now?")
    back = translated("where is it now", "Wo?")
    assert figures(there, there, held(back), held(stream(other))) == {"speaker": 0.5, "text": 0.5}
    cue = item("cue", 0, None, "please help me now")
    cue = replace(cue, clip=replace(cue.clip, corpus=CUE_PHRASES.corpus))
    assert figures(stream(cue), stream(cue), held(stream(cue))) == {}
    copy = replace(other, clip=replace(other.clip, id="y", near_duplicates="n", recording="r"))
    again = replace(copy, clip=replace(copy.clip, id="z", recording="q"), text="", speaker="")
    assert figures(stream(copy), stream(copy), held(stream(again))) == {"near-duplicate": 1}
    assert told(Leaks(LIMITS), stream(copy), stream(copy), held(stream(again))) == {
        "leaks by near-duplicate": ("test/s shares it with train/s",)
    }


def test_tokens_say_what_the_record_says() -> None:
    right = stream(item("Bark", 0, 3), said={3: "A dog."})
    record = replace(right.record, replies=(Reply(3, "A cat."),))
    wrong = replace(right, record=record)
    assert value(RoundTrip(LIMITS, VOCABULARY), right) == 0
    assert value(RoundTrip(LIMITS, VOCABULARY), wrong) == 1


def test_a_build_passes_its_audit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from data_build.recipe import BuildRecipe

    pytest.importorskip("py_nanotts")
    output = tmp_path / "data"
    build(load(write_recipe(tmp_path, output), BuildRecipe, ["workers=1"]))
    taken = build_measures(LIMITS, policy(), VOCABULARY, Recognisers())
    card = audit("data", map(built_split, finished_splits(output)), taken, sampled=3)
    assert card.streams == {"train": 10, "test": 4}
    assert card.passed
    assert {f.name: f.of for f in card.figures}["round trip faults"] == "5 streams"
    assert json.loads((output / "audit.json").read_text())["passed"]
    assert "limits are kept" in (output / "report.html").read_text()
    monkeypatch.setenv("SOUNDFLOW_CACHE", str(tmp_path / "cache"))
    with http_store(output) as store:  # a build in a store is audited alike
        assert main(["audit", store.url, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["streams"] == card.streams
    assert told["passed"]
    assert {"contradictions", "early replies"} <= {f["name"] for f in told["figures"]}
    assert main(["export", str(output), str(tmp_path / "exported")]) == 0
    capsys.readouterr()
    # That form does not say which texts are cues, and it has no written instruction.
    limits = ("audit.leaks=1", "audit.contradictions=1")
    assert main(["audit", str(tmp_path / "exported"), *limits, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["streams"] == {
        "test/streams": 4, "train/streams": 10,
    }  # fmt: skip
    assert main(["audit", str(output), "audit.contradictons=1"]) == 2
    assert "did you mean" in capsys.readouterr().err


def test_what_is_no_corpus_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert finished_splits(tmp_path) == []
    assert main(["audit", str(tmp_path)]) == 2
    assert "neither a finished split nor *.jsonl" in capsys.readouterr().err


class Hears:
    """A recogniser and an aligner that hear what they are told to, and count how often."""

    id = "hears"

    def __init__(self, text: str = "", ends_s: tuple[float, ...] = ()) -> None:
        self._text, self._ends_s, self.asked = text, ends_s, 0

    def transcribe(self, samples: np.ndarray, language: str) -> str:
        self.asked += 1
        return self._text

    def align(self, samples: np.ndarray, text: str, language: str) -> tuple[Word, ...]:
        starts_s = (0.0, *self._ends_s)
        return tuple(map(Word, text.split(), starts_s, self._ends_s))


def test_what_is_said_can_be_recognised_in_the_mix() -> None:
    said = stream(item("turn", 0, None, "where is the station"), noise=("Rain",))
    alone = replace(said, record=replace(said.record, noise=(), task="u"))
    right = MixWer(LIMITS, {"en": Hears("Where is the station?")})
    half = Hears("where is")
    wrong = MixWer(replace(LIMITS, mix_wer=0.2, recognised=2), {"en": half})
    assert value(right, said, alone) == 0
    for one in (said, alone, said, alone, said, alone):
        wrong.add(one)
    assert half.asked == 4  # two of each task and noise
    found = {figure.name: figure for figure in wrong.figures()}
    assert {name: figure.value for name, figure in found.items()} == {
        "WER in the mix": 0.5,
        "WER in the mix, task t": 0.5,
        "WER in the mix, task u": 0.5,
        "WER in the mix, SNR from 10 dB": 0.5,
        "WER in the mix, without noise": 0.5,
    }
    assert not found["WER in the mix"].passed
    german = replace(said.record.items[0], language="de")
    other = replace(said, record=replace(said.record, items=(german,)))
    nothing = MixWer(LIMITS, {"en": half})
    nothing.add(other)
    assert list(nothing.figures()) == []


def test_words_are_written_in_the_chunk_in_which_they_end() -> None:
    spoken = replace(item("speech", 0, None, "where is it"), reply_chunks=(0, 1, 4))
    one = stream(spoken, said={0: "where", 1: "is", 4: "it"})
    limits = replace(LIMITS, early_words=0.0, late_words=0.0)

    def figures(*ends_s: float) -> list[float]:
        words = WrittenWords(limits, {"en": Hears(ends_s=ends_s)})
        words.add(one)
        return [round(figure.value, 2) for figure in words.figures()]

    assert figures(0.3, 0.7, 0.9) == [0.67, 0, 0.33]
    assert figures(0.5, 0.7, 0.9) == [0.33, 0.33, 0.33]
    # Shifted by 0.6 s.
    assert told(WrittenWords(limits, {"en": Hears(ends_s=(0.9, 1.3, 1.9))}), one) == {
        "words before their end": (
            "train/s: “where” at 0.4 s ends at 0.9 s", "train/s: “is” at 0.8 s ends at 1.0 s",
        ),
        "words two chunks late or more": ("train/s: “it” at 2.0 s ends at 1.0 s",),
    }  # fmt: skip
    whole = stream(replace(spoken, reply_chunks=(4,)), said={4: "where is it"})
    words = WrittenWords(limits, {"en": Hears(ends_s=(0.3, 0.7, 0.9))})
    words.add(whole)  # a transcript of the whole utterance has no times of its words
    assert list(words.figures()) == []
    words.add(one)
    assert all(figure.of == "3 words of 1 utterances, by hears" for figure in words.figures())
