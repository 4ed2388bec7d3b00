"""Miniatures of OpenAudioBench and VoiceBench, judged by a real server of ours."""

from __future__ import annotations

import csv
import json

import pytest

from inference.evaluate.benchmarks.judge import JudgeConfig
from inference.evaluate.benchmarks.spoken_questions import (
    OpenAudioBenchConfig,
    VoiceBenchConfig,
    occurs,
    spoken_question_tasks,
)
from inference.evaluate.outcome import Failure, Outcome, TimedReply
from inference.evaluate.task import Exchange
from soundflow.endpoints.http_calls import Endpoint
from soundflow.protocol.timebase import TimeBase
from tests.inference.evaluate.benchmarks.published_data import flac, saved
from tests.soundflow.endpoints.chat_server import Raw, Say

TIME = TimeBase()


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """``eval_datas`` and ``voicebench``, as downloaded."""
    place = tmp_path_factory.mktemp("questions")
    tables = {
        "llama_questions": [
            {"Questions": "Capital of France?", "Answer": "Paris"},
            {"Questions": "How many states?", "Answer": "fifty"},
        ],
        "web_questions": [{"question": "Hamlet is by?", "answers": "William Shakespeare; Bard"}],
    }
    for name, lines in tables.items():
        audios = place / "eval_datas" / name / "audios"
        audios.mkdir(parents=True)
        with (audios.parent / f"{name}.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, [*lines[0], "audio_filename"])
            writer.writeheader()
            for k, line in enumerate(lines):
                (audios / f"{k}.wav").write_bytes(flac(1.0))
                writer.writerow({**line, "audio_filename": f"{k}.wav"})
    ask = {"prompt": "Plan my day.", "seconds": 1.0}
    saved(place / "voicebench" / "alpacaeval", "test", [ask, ask])
    saved(place / "voicebench" / "sd-qa", "usa", [{**ask, "reference": "seven", "seconds": 1.0}])
    return place


def judge_of(url, tmp_path, **settings) -> JudgeConfig:
    quick = {"retries": 0, "timeout_s": 5.0, "backoff_s": 0.01, **settings}
    return JudgeConfig(Endpoint(url, **quick), "judge-1", tmp_path / "judge")


def task_of(data, name, judge=None):
    config: OpenAudioBenchConfig | VoiceBenchConfig
    if name in ("alpacaeval", "sd_qa"):
        config = VoiceBenchConfig(data=str(data / "voicebench"), sets=(name,), judge=judge)
    else:
        config = OpenAudioBenchConfig(data=str(data / "eval_datas"), sets=(name,), judge=judge)
    return spoken_question_tasks(config, TIME)[0]


def rows_of(task, *replies: str | Outcome):
    outcomes = [r if isinstance(r, Outcome) else Outcome((TimedReply(1, r),)) for r in replies]
    return [task.score(i, o) for i, o in zip(task.items(), outcomes, strict=True)]


def test_items_of_every_set(data):
    names = ("llama_questions", "web_questions", "alpacaeval", "sd_qa")
    found = {name: task_of(data, name).items() for name in names}
    assert {name: len(items) for name, items in found.items()} == {
        "llama_questions": 2, "web_questions": 1, "alpacaeval": 2, "sd_qa": 1,
    }  # fmt: skip
    assert found["web_questions"][0].reference.answers == ("William Shakespeare", "Bard")
    assert found["sd_qa"][0].reference.answers == ("seven",)
    assert sum(map(len, found["sd_qa"][0].open().blocks)) == 16_000


def test_a_judge_decides_and_is_asked_once(data, tmp_path, chat_server):
    server = chat_server(
        lambda n, body: Say(
            {
                "correct": "Paris" in body["messages"][1]["content"]
                and "Lyon" not in body["messages"][1]["content"]
            }
        )
    )
    judge = judge_of(server.url, tmp_path)
    task = task_of(data, "llama_questions", judge)
    rows = rows_of(task, "It is Paris.", "There are 50.")
    found = task.summarise(rows).figures
    assert [r.score for r in rows] == [1, 0]
    assert found["accuracy"].value == 0.5
    assert found["contains"].value == 1.0, "fifty is 50"
    assert "judge:judge-1" in found["accuracy"].signature
    assert "prompt:judge_answer.v1." in found["accuracy"].signature
    again = task_of(data, "llama_questions", judge)
    assert rows_of(again, "It is Paris.", "There are 50.") == rows
    assert len(server.bodies) == 2, "the answers are kept"


def test_grades(data, tmp_path, chat_server):
    server = chat_server(lambda n, body: Say({"score": 4}))
    task = task_of(data, "alpacaeval", judge_of(server.url, tmp_path))
    found = task.summarise(rows_of(task, "First breakfast.", "")).figures
    assert found["score_1_to_5"].value == 2.5, "no reply is 1"
    assert found["no_reply"].value == 0.5
    assert "contains" not in found


@pytest.mark.parametrize("said", [Say("yes it is"), Say({"correct": "maybe"}), Say(""), Raw(400)])
def test_a_verdict_that_cannot_be_used_is_wrong_and_named(data, tmp_path, chat_server, said):
    server = chat_server(lambda n, body: said)
    task = task_of(data, "sd_qa", judge_of(server.url, tmp_path))
    (row,) = rows_of(task, "seven")
    assert row.score == 0
    assert row.contains is True
    assert row.missing.startswith("judge: ")
    summary = task.summarise([row])
    assert summary.figures["no_verdict"].value == 1.0
    assert summary.tables[0].rows == ((row.missing, "1"),)
    (warning,) = summary.warnings
    assert warning.startswith("1 of 1 answers have no verdict and count as wrong")


def test_a_dead_judge_is_one_row_an_item_and_asked_once(data, tmp_path, chat_server):
    server = chat_server(lambda n, body: Say({"correct": True}))
    url = server.url
    server.stop()
    task = task_of(data, "llama_questions", judge_of(url, tmp_path))
    rows = rows_of(task, "Paris", "50")
    assert [r.score for r in rows] == [0, 0]
    assert all("has stopped answering" in r.missing for r in rows)
    assert task.summarise(rows).figures["accuracy"].n == 2


def test_never_and_failures_ask_nobody(data, tmp_path, chat_server):
    server = chat_server(lambda n, body: Say({"correct": True}))
    task = task_of(data, "llama_questions", judge_of(server.url, tmp_path))
    for baseline in task.baselines():
        outcomes = [dict(baseline.run([i]))[i.id] for i in task.items()]
        assert task.summarise(rows_of(task, *outcomes)).figures["accuracy"].value == 0.0
    broken = Outcome((TimedReply(1, "Paris"),), Failure("time-out", "x"))
    rows = rows_of(task, broken, broken)
    assert [(r.score, r.contains, r.missing) for r in rows] == [(0, False, "time-out: x")] * 2
    assert server.bodies == []


def test_without_a_judge_only_words_are_compared(data):
    task = task_of(data, "web_questions")
    found = task.summarise(rows_of(task, "That was the bard.")).figures
    assert "accuracy" not in found
    assert found["contains"].value == 1.0
    assert json.dumps(found["contains"].to_json())
    assert all(f.value is None for f in task.summarise([]).figures.values())


def test_an_answer_occurs_as_whole_words():
    assert occurs(("New York",), "It's in New York, I think.")
    assert not occurs(("York",), "Yorkshire")
    assert not occurs(("New York",), "York is new")
    assert not occurs(("",), "anything")


def test_offline_the_question_is_a_finished_recording(data):
    config = OpenAudioBenchConfig(
        data=str(data / "eval_datas"), sets=("llama_questions",), modes=("streaming", "offline")
    )
    streaming, offline = spoken_question_tasks(config, TIME)
    assert offline.name == "llama_questions_offline"
    assert [i.exchange for i in streaming.items()] == [None, None]
    assert [i.exchange for i in offline.items()] == [Exchange(None), Exchange(None)]
