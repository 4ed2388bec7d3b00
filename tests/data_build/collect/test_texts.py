"""Texts of a JSON lines file: sentences, and dialogues with the places where they make sense."""

from __future__ import annotations

import json
from pathlib import Path

from data_build.collect.texts import read_texts
from data_build.drops import Drop
from data_build.records import Clip, Dialogue


def test_a_dialogue_may_be_bound_to_places_and_a_wrong_one_is_reported(tmp_path: Path) -> None:
    turns = [{"user": "Is it hot?", "assistant": "Yes."}]
    rows = [
        {"turns": turns, "places": ["kitchen", "farm"]},
        {"turns": turns},
        {"turns": turns, "places": ["kitchn"]},
        {"turns": turns, "places": "kitchen"},
        {"text": "Wo ist er?", "language": "de", "translation": "Where is he?"},
    ]
    path = tmp_path / "mine.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    drops: list[Drop] = []
    bound, free, sentence = read_texts(path, drops.append)
    assert isinstance(bound, Dialogue)
    assert isinstance(free, Dialogue)
    assert isinstance(sentence, Clip)
    assert (bound.places, free.places) == (("kitchen", "farm"), ())
    assert (sentence.language, sentence.translation) == ("de", "Where is he?")
    assert [d.reason for d in drops] == [
        "places: there is no setting 'kitchn'; did you mean 'kitchen'?", "places is not a list",
    ]  # fmt: skip
