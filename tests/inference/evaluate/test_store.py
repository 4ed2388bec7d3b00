"""Outcomes on disk: whole lines, shared by processes, never lost and never doubled."""

from __future__ import annotations

import pytest

from inference.evaluate.outcome import Failure, Outcome, Piece, TimedReply
from inference.evaluate.store import OutcomeStore, Part, Stored, read_rows, write_rows
from inference.evaluate.timing.triggers import Windows
from soundflow.errors import UserError

OUTCOME = Outcome(
    (TimedReply(6400, "Light on.", "urgent", (Piece("Light", 6400), Piece(" on.", 6400, 0.25))),),
    Failure("time-out", "more than 1 s"),
    (0.1 + 0.2, None, 1e-17),
)


def test_what_is_added_is_read_back_bit_for_bit(tmp_path):
    with OutcomeStore(tmp_path).appending() as appender:
        appender.add(Stored("a", 0.3, OUTCOME))
        appender.add(Stored("a", None, Outcome()))
    assert OutcomeStore(tmp_path).of("a") == [
        Stored("a", 0.3, OUTCOME),
        Stored("a", None, Outcome()),
    ]
    again = OutcomeStore(tmp_path).of("a")[0].outcome
    assert again.replies[0].pieces[1].wall_s == 0.25
    assert not OutcomeStore(tmp_path).of("b")


def test_a_torn_line_is_ignored_and_overwritten(tmp_path):
    with OutcomeStore(tmp_path).appending() as appender:
        appender.add(Stored("a", 0.3, OUTCOME))
        appender.add(Stored("b", 0.3, OUTCOME))
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    for cut in (len(whole) - 1, len(whole) // 2 + 5, 10):
        path.write_bytes(whole[:cut])
        store = OutcomeStore(tmp_path)
        missing = [name for name in "ab" if not store.of(name)]
        with store.appending() as appender:
            for name in missing:
                appender.add(Stored(name, 0.3, OUTCOME))
        assert path.read_bytes() == whole


def test_parts_share_the_items_and_write_files_of_their_own(tmp_path):
    assert sorted(k for i in range(3) for k in Part(i, 3).share(10)) == list(range(10))
    for index in range(3):
        with OutcomeStore(tmp_path, Part(index, 3)).appending() as appender:
            appender.add(Stored(f"item{index}", 0.5, Outcome()))
    # Another number of parts finds all of it.
    store = OutcomeStore(tmp_path, Part(0, 2))
    assert all(store.of(f"item{i}") for i in range(3))


def test_two_processes_on_one_part_are_refused(tmp_path):
    with (
        OutcomeStore(tmp_path).appending(),
        pytest.raises(UserError, match="another process works on this part"),
        OutcomeStore(tmp_path).appending(),
    ):
        pass


def test_a_foreign_line_is_named(tmp_path):
    (tmp_path / "part-0000-of-0001.jsonl").write_text('{"x": 1}\n')
    with pytest.raises(UserError, match="line 1 is no outcome"):
        OutcomeStore(tmp_path)


def test_rows_of_any_task_are_read_back(tmp_path):
    write_rows(tmp_path / "rows.jsonl", ["a", "b"], [Windows(1, 2), Windows(3, 4)])
    assert read_rows(tmp_path / "rows.jsonl", Windows) == {"a": Windows(1, 2), "b": Windows(3, 4)}
    with pytest.raises(UserError, match="run `soundflow evaluate` first"):
        read_rows(tmp_path / "none.jsonl", Windows)
    (tmp_path / "rows.jsonl").write_text('{"item": "a", "row": {"late": 1}}\n')
    with pytest.raises(UserError, match="evaluate again"):
        read_rows(tmp_path / "rows.jsonl", Windows)
