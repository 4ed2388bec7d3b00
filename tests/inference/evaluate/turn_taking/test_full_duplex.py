"""A miniature of Full-Duplex-Bench in its own folders: the bench's rule beside ours."""

from __future__ import annotations

import json

import numpy as np
import pytest
import soundfile

from inference.evaluate.outcome import Outcome, TimedReply
from inference.evaluate.turn_taking.full_duplex import FullDuplexConfig, FullDuplexTask
from soundflow.errors import UserError
from soundflow.protocol.timebase import TimeBase

TIME = TimeBase()
LONG = "That is quite an answer, thank you."


def sample(folder, seconds: float, **files: object) -> None:
    folder.mkdir(parents=True)
    noise = np.random.default_rng(0).normal(0, 0.01, round(seconds * 16_000))
    soundfile.write(folder / "input.wav", noise, 16_000)
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    root = tmp_path_factory.mktemp("bench")
    sample(
        root / "candor_turn_taking" / "1",
        4.0,
        turn_taking=[{"text": "[TURN-TAKING]", "timestamp": [3.0, 3.4]}],
    )
    sample(
        root / "synthetic_user_interruption" / "1",
        6.0,
        interrupt=[{"context": "a", "interrupt": "b", "timestamp": [3.0, 5.0]}],
    )
    sample(
        root / "synthetic_pause_handling" / "1",
        4.0,
        pause=[{"text": "[PAUSE]", "timestamp": [1.0, 2.0]}],
    )
    sample(root / "icc_backchannel" / "1", 4.0)
    for kind in ("user_interruption", "user_backchannel", "talking_to_other", "background_speech"):
        sample(root / kind / "1", 6.0, metadata={"context_text": "a", "timestamps": [3.0, 4.0]})
    return FullDuplexTask(FullDuplexConfig(data=str(root)), TIME)


def outcome(*onsets_s: float, text: str = LONG) -> Outcome:
    return Outcome(tuple(TimedReply(TIME.samples(s), text) for s in onsets_s))


def scored(task, said) -> dict[str, object]:
    return {i.id.split("/")[0]: task.score(i, said(i)) for i in task.items()}


def test_scenarios_are_read_from_both_versions(task):
    found = {i.id: i.reference for i in task.items()}
    assert len(found) == 8
    assert found["candor_turn_taking/1"].ready_s == 3.0
    assert found["synthetic_user_interruption/1"].ready_s == 5.0
    assert found["user_interruption/1"].ready_s == 4.0
    assert found["user_interruption/1"].from_s == 3.0
    assert [t for t, s in found.items() if s.ready_s is None] == [
        "background_speech/1", "icc_backchannel/1", "synthetic_pause_handling/1",
        "talking_to_other/1", "user_backchannel/1",
    ]  # fmt: skip
    assert next(i for i in task.items() if i.id == "candor_turn_taking/1").n_samples == 6 * 16_000


def test_a_perfect_system(task):
    rows = scored(
        task, lambda i: outcome(*([i.reference.ready_s + 0.4] if i.reference.ready_s else []))
    )
    assert all(task.right(row) == (True,) for row in rows.values())
    found = task.summarise(list(rows.values())).figures
    assert found["replies_in_time"].value == 1.0
    assert found["quiet_where_none_is_due"].value == 1.0
    assert found["uncalled_replies"].value == 0.0
    assert (found["bench_TOR_due"].value, found["bench_TOR_not_due"].value) == (1.0, 0.0)


def test_always_talking_is_perfect_for_the_bench_and_not_for_us(task):
    always = next(b for b in task.baselines() if b.name == "always")
    rows = [task.score(i, dict(always.run([i]))[i.id]) for i in task.items()]
    summary = task.summarise(rows)
    assert summary.figures["bench_TOR_due"].value == 1.0
    (table,) = summary.tables
    turn_taking = next(r for r in table.rows if r[0] == "candor_turn_taking")
    assert turn_taking[3].value == 0.0, "its latency: clipped"
    assert turn_taking[7].value == pytest.approx(0.4 - 3.0), "ours: signed"
    assert summary.figures["quiet_where_none_is_due"].value == 0.0
    assert summary.figures["uncalled_replies"].value > 5


def test_never_talking(task):
    never = next(b for b in task.baselines() if b.name == "never")
    found = task.summarise(
        [task.score(i, dict(never.run([i]))[i.id]) for i in task.items()]
    ).figures
    assert (found["replies_in_time"].value, found["quiet_where_none_is_due"].value) == (0.0, 1.0)


def test_a_word_or_two_is_no_turn_for_the_bench(task):
    rows = scored(task, lambda i: outcome(3.2, text="Uh huh."))
    assert not rows["icc_backchannel"].took_turn
    assert rows["icc_backchannel"].uncalled == 1
    # Of backchannels each counts for itself; elsewhere all the output is one.
    rows = scored(task, lambda i: outcome(1.2, 3.6, text="Yes."))
    assert not rows["icc_backchannel"].took_turn
    assert rows["synthetic_pause_handling"].took_turn
    rows = scored(task, lambda i: outcome(1.2, text="I see that."))
    assert rows["icc_backchannel"].took_turn


def test_talk_before_the_overlap_answers_the_context(task):
    rows = scored(task, lambda i: outcome(2.0, 4.4))
    assert rows["user_interruption"].uncalled == 0
    assert rows["user_interruption"].latency_s == pytest.approx(0.4)
    assert rows["user_backchannel"].uncalled == 1


def test_missing_annotations_are_named(tmp_path):
    sample(tmp_path / "a" / "candor_turn_taking" / "1", 1.0)
    with pytest.raises(UserError, match=r"turn_taking\.json: cannot be read"):
        FullDuplexTask(FullDuplexConfig(data=str(tmp_path / "a")), TIME).items()
    sample(tmp_path / "b" / "candor_turn_taking" / "1", 1.0, turn_taking=[])
    with pytest.raises(UserError, match="holds no annotation"):
        FullDuplexTask(FullDuplexConfig(data=str(tmp_path / "b")), TIME).items()
    with pytest.raises(UserError, match="holds no folder of Full-Duplex-Bench"):
        FullDuplexTask(FullDuplexConfig(data=str(tmp_path)), TIME).items()


def test_the_folders_of_the_versions_are_found(tmp_path):
    old, new = tmp_path / "v1.0" / "user_interruption", tmp_path / "v1.5" / "user_interruption"
    sample(old / "0", 4.0, interrupt=[{"timestamp": [1.0, 2.0]}])
    sample(new / "0", 4.0, metadata={"timestamps": [1.0, 3.0]})
    task = FullDuplexTask(FullDuplexConfig(data=str(tmp_path)), TIME)
    found = task.items()
    assert [i.id for i in found] == ["v1.0/user_interruption/0", "v1.5/user_interruption/0"]
    assert [i.reference.ready_s for i in found] == [2.0, 3.0]
    table = task.summarise([task.score(i, Outcome()) for i in found]).tables[0]
    assert [row[0] for row in table.rows] == ["v1.0/user_interruption", "v1.5/user_interruption"]
