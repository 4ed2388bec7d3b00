"""Recordings of one's own, labelled in the simplest form."""

from __future__ import annotations

import json

import numpy as np
import pytest
import soundfile

from inference.evaluate.outcome import Failure, Outcome, TimedReply
from inference.evaluate.timing.recordings import RecordingsConfig, RecordingsTask
from soundflow.errors import UserError
from soundflow.protocol.timebase import TimeBase

TIME = TimeBase()


def task_of(folder, *lines, **settings) -> RecordingsTask:
    """Recordings of 4 s, a line of ``metadata.jsonl`` for each."""
    for line in lines:
        soundfile.write(folder / line["file_name"], np.zeros(64_000, np.float32), 16_000)
    (folder / "metadata.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return RecordingsTask(RecordingsConfig(data=str(folder), **settings), TIME)


def said(*at_s: float, text: str = "Yes.") -> Outcome:
    return Outcome(tuple(TimedReply(TIME.samples(s), text) for s in at_s))


def figures(task, *outcomes):
    return task.summarise(
        [task.score(*p) for p in zip(task.items(), outcomes, strict=True)]
    ).figures


def test_times_alone_are_enough(tmp_path):
    task = task_of(
        tmp_path,
        {"file_name": "a.wav", "events": [{"ready_s": 1.0}, {"ready_s": 3.9}]},
        {"file_name": "b.wav", "events": []},
    )
    first, _ = task.items()
    assert (first.id, first.n_samples, first.system) == ("a.wav", 7 * 16_000, None)
    found = figures(task, said(1.2, 4.4), said(2.0))
    assert (found["recall"].value, found["precision"].value) == (1.0, 2 / 3)
    assert found["latency_p50_s"].value == pytest.approx(0.2)
    assert found["false_per_hour_negative"].value == pytest.approx(3600 / 7)
    assert found["reply_exact"].value is None, "nobody knows what was right to say"
    assert task.right(task.score(first, said(1.2))) == (True, False)
    assert [b.name for b in task.baselines()][:3] == ["never", "always", "silence timer"]


def test_with_answers_words_are_compared(tmp_path):
    event = {"ready_s": 2.0, "on_s": 0.5, "answers": ["Yes.", "Indeed."]}
    line = {"file_name": "a.wav", "events": [event], "system": "Be short."}
    task = task_of(tmp_path, line, system="Be kind.")
    assert task.items()[0].system == "Be short."
    assert figures(task, said(2.4, text="Indeed."))["reply_exact"].value == 1.0
    assert figures(task, said(2.4, text="No."))["reply_exact"].value == 0.0
    assert figures(task, said(0.8))["early_share"].value == 1.0, "it had begun"
    failed = figures(task, Outcome(failure=Failure("crash", "x")))
    assert (failed["recall"].value, failed["failures"].value) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("event", "said_of"),
    [
        ({"ready_s": 4.5}, r"a\.wav: ready_s 4\.5 is after its end, 4\.00 s"),
        ({"ready": 1.0}, r"a\.wav: events: .*ready"),
        ({"ready_s": 1.0, "on_s": 2.0}, "on_s must be before ready_s"),
        ("1.0", r"a\.wav: events"),
    ],
)
def test_a_wrong_label_is_named(tmp_path, event, said_of):
    with pytest.raises(UserError, match=said_of):
        task_of(tmp_path, {"file_name": "a.wav", "events": [event]}).items()
