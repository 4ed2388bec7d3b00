"""A miniature of LibriSpeech as published, and as on the hub."""

from __future__ import annotations

import pytest

from inference.evaluate.benchmarks.librispeech import LibriSpeechConfig, librispeech_tasks
from inference.evaluate.outcome import Failure, Outcome, Piece, TimedReply
from soundflow.errors import UserError
from soundflow.protocol.timebase import TimeBase
from tests.inference.evaluate.benchmarks.published_data import flac, saved

TIME = TimeBase()
TEXTS = {"61-70968-0000": "GO DO YOU HEAR", "61-70968-0001": "THIRTY SIX MEN", "61-70968-0002": ""}
ALIGNMENT = (
    '61-70968-0000 ",GO,DO,YOU,HEAR," "0.2,0.5,0.8,1.0,1.4,2.0"\n'
    '61-70968-0001 "THIRTY,SIX,MEN" "0.4,0.6,1.0"\n'
)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("speech") / "LibriSpeech"
    chapter = folder / "test-clean" / "61" / "70968"
    chapter.mkdir(parents=True)
    for name in TEXTS:
        (chapter / f"{name}.flac").write_bytes(flac(2.0))
    (chapter / "61-70968.trans.txt").write_text("".join(f"{n} {t}\n" for n, t in TEXTS.items()))
    (chapter / "61-70968.alignment.txt").write_text(ALIGNMENT)
    return folder


def tasks_of(data, **settings):
    return librispeech_tasks(
        LibriSpeechConfig(data=str(data), splits=("test-clean",), **settings), TIME
    )


def said(*words: tuple[str, float]) -> Outcome:
    pieces = tuple(Piece(f" {word}", round(at_s * 16_000)) for word, at_s in words)
    return Outcome((TimedReply(6400, "".join(p.text for p in pieces), pieces=pieces),))


def summary(task, outcomes):
    items = task.items()
    rows = [task.score(i, o) for i, o in zip(items, outcomes, strict=True)]
    return task.summarise(rows).figures


def test_both_modes_ask_in_words(data):
    streaming, offline = tasks_of(data)
    assert (streaming.name, offline.name) == (
        "librispeech_test_clean_streaming", "librispeech_test_clean_offline",
    )  # fmt: skip
    assert [i.id for i in streaming.items()] == list(TEXTS)
    assert streaming.items()[0].open().system == "Transcribe the speech as it is spoken."
    asked = offline.items()[0]
    assert (asked.exchange.question, asked.system) == ("Transcribe the speech.", None)
    assert streaming.items()[0].n_samples == 5 * 16_000


def test_known_figures(data):
    task = tasks_of(data, alignments=data)[0]
    outcomes = [
        said(("Go,", 0.8), ("do", 1.2), ("ewe", 1.2), ("hear?", 1.6)),  # one of four wrong
        said(("36", 1.2), ("men.", 1.2)),  # right: thirty six is one unit
        said(("um", 0.8), ("noise", 0.8)),  # one insertion ("um" is a filler), no reference
    ]
    found = summary(task, outcomes)
    assert found["wer"].value == pytest.approx(2 / 6)
    assert found["wer"].n == 6
    assert found["substitution_rate"].value == pytest.approx(1 / 6)
    assert found["insertion_rate"].value == pytest.approx(1 / 6)
    # Right words with a time: go 0.3, do 0.4, hear 0.2, men 0.2.
    assert found["word_delay_mean_s"].value == pytest.approx((0.3 + 0.4 + 0.2 + 0.2) / 4)
    assert found["word_delay_mean_s"].n == 4
    assert found["word_delay_p50_s"].value == pytest.approx(0.2)
    assert "norm:soundflow.v" in found["wer"].signature
    assert found["wer"].low <= found["wer"].value <= found["wer"].high


def test_without_alignments_no_delay_is_claimed(data):
    found = summary(tasks_of(data)[0], [said(("go", 0.8)), Outcome(), Outcome()])
    assert found["wer"].value == pytest.approx(5 / 6)
    assert not any(name.startswith("word_delay") for name in found)


def test_never_always_and_failures(data):
    task = tasks_of(data)[0]
    items = task.items()
    for baseline in task.baselines():
        found = summary(task, [dict(baseline.run([i]))[i.id] for i in items])
        assert found["wer"].value == 1.0
        assert found["failed"].value == 0.0
    broken = Outcome(failure=Failure("unreadable audio", "x"))
    found = summary(task, [broken] * 3)
    assert found["wer"].value == found["failed"].value == 1.0
    assert task.right(task.score(items[2], broken)) == (False,)


def test_empty_references_alone_have_no_rate(data):
    task = tasks_of(data)[0]
    row = task.score(task.items()[2], said(("noise", 0.8)))
    assert task.summarise([row]).figures["wer"].value is None
    assert all(f.value is None for f in task.summarise([]).figures.values())


def test_a_stored_data_set_reads_the_same(tmp_path, data):
    rows = [{"id": name, "text": text, "seconds": 2.0} for name, text in TEXTS.items()]
    found = tasks_of(saved(tmp_path / "set", "test", rows))[0].items()
    known = tasks_of(data)[0].items()
    assert [(i.id, i.reference) for i in found] == [(i.id, i.reference) for i in known]


def test_other_alignments_are_named(tmp_path, data):
    with pytest.raises(UserError, match="holds no"):
        tasks_of(data, alignments=tmp_path)[0].items()
    (tmp_path / "x.alignment.txt").write_text('1-2-3 "A,B" "0.1"\n')
    with pytest.raises(UserError, match="line 1 is no alignment"):
        tasks_of(data, alignments=tmp_path)[0].items()
