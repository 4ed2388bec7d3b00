"""A miniature of MMAU in its published layout."""

from __future__ import annotations

import json

import pytest

from inference.evaluate.benchmarks.mmau import (
    Choices,
    MmauConfig,
    chosen,
    in_text,
    mmau_tasks,
    official_match,
)
from inference.evaluate.outcome import Failure, Outcome, TimedReply
from soundflow.errors import UserError
from soundflow.protocol.timebase import TimeBase
from tests.inference.evaluate.benchmarks.published_data import flac

TIME = TimeBase()
CHOICES = ["Dog", "Cat", "Car horn", "Church bell"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mmau")
    (folder / "test-mini-audios").mkdir()
    (folder / "questions").mkdir()
    entries = []
    for k, (task, answer) in enumerate((("sound", "Dog"), ("sound", "Cat"), ("music", "Car horn"))):
        (folder / "test-mini-audios" / f"q{k}.wav").write_bytes(flac(1.0))
        (folder / "questions" / f"q{k}.wav").write_bytes(flac(0.5))
        entries.append(
            {
                "id": f"q{k}", "audio_id": f"./test-mini-audios/q{k}.wav", "question": "What?",
                "choices": CHOICES, "answer": answer, "task": task, "difficulty": "easy",
            }
        )  # fmt: skip
    (folder / "mmau-test-mini.json").write_text(json.dumps(entries))
    return folder


def tasks_of(place):
    return mmau_tasks(
        MmauConfig(
            data=str(place / "mmau-test-mini.json"),
            modes=("text", "spoken", "offline"),
            questions=place / "questions",
        ),
        TIME,
    )


def rows_of(task, *replies: str):
    outcomes = [Outcome((TimedReply(1, r),)) for r in replies]
    return [task.score(i, o) for i, o in zip(task.items(), outcomes, strict=True)]


def test_a_question_is_asked_in_text_or_aloud(place):
    text, spoken, offline = tasks_of(place)
    written = text.items()[0]
    assert written.system.startswith("What?")
    assert "(C) Car horn" in written.open().system
    heard = spoken.items()[0]
    assert heard.system is None
    n = sum(map(len, heard.open().blocks))
    assert n == 16_000 + 6400 + 8000
    assert heard.n_samples == n + 3 * 16_000
    asked = offline.items()[0]
    assert (asked.exchange.question, asked.open().system) == (written.system, None)


def test_known_figures(place):
    task = tasks_of(place)[0]
    rows = rows_of(task, "It is a dog.", "B", "A dog or a cat")
    summary = task.summarise(rows)
    found = summary.figures
    assert found["accuracy"].value == pytest.approx(2 / 3)
    assert found["official_accuracy"].value == pytest.approx(1 / 3), "it reads no letters"
    assert found["unparsable"].value == pytest.approx(1 / 3)
    assert [(r[0], r[1], r[2].value) for r in summary.tables[0].rows] == [
        ("music", "1", 0.0), ("sound", "2", 1.0),
    ]  # fmt: skip
    name, text = task.predictions(task.items(), rows)
    said = json.loads(text)
    assert name == "mmau_text.json"
    assert said[1]["model_prediction"] == "B"
    assert said[1]["choices"] == CHOICES


@pytest.mark.parametrize(
    ("reply", "choice"),
    [
        ("Dog", "Dog"), ("the CAR HORN!", "Car horn"), ("(B)", "Cat"), ("C. I think", "Car horn"),
        ("", None), ("no idea", None), ("A sound of something", None), ("H", None),
        ("not a dog but a cat", None), ("carhorn", None),
    ],
)  # fmt: skip
def test_a_choice_is_read_and_never_drawn(reply, choice):
    assert chosen(reply, CHOICES) == choice


def test_a_longer_choice_does_not_name_a_shorter_one():
    assert chosen("a race car", ["car", "race car"]) == "race car"
    assert chosen("a car", ["car", "race car"]) == "car"


def test_choices_that_carry_their_letter_are_read_and_asked_without_it():
    lettered = ("(A) man", "(B) woman")
    assert chosen("A woman.", lettered) == "(B) woman"
    assert chosen("(A)", lettered) == "(A) man"
    asked = in_text(Choices("Who speaks?", lettered, "(A) man", "", ""))
    assert asked.splitlines()[2:] == ["(A) man", "(B) woman"]


def test_the_official_rule():
    assert official_match("it is a car horn", "Car horn", CHOICES)
    assert not official_match("a horn", "Car horn", CHOICES)
    assert not official_match("a car horn or a bell", "Car horn", CHOICES)
    assert not official_match("", "Car horn", CHOICES)


def test_never_and_failures_are_wrong(place):
    task = tasks_of(place)[0]
    for baseline in task.baselines():
        found = [task.score(i, dict(baseline.run([i]))[i.id]) for i in task.items()]
        assert task.summarise(found).figures["accuracy"].value == 0.0
    broken = Outcome((TimedReply(1, "Dog"),), Failure("crash", "x"))
    assert task.score(task.items()[0], broken).chosen is None
    assert all(f.value is None for f in task.summarise([]).figures.values())


def test_a_set_without_answers_is_named(tmp_path):
    entry = {"id": "a", "audio_id": "a.wav", "question": "?", "choices": ["x"], "answer": None}
    (tmp_path / "test.json").write_text(json.dumps([entry]))
    with pytest.raises(UserError, match="the answer is none of its choices"):
        mmau_tasks(MmauConfig(data=str(tmp_path / "test.json")), TIME)[0].items()
