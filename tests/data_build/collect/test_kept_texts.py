"""The texts of a ``.rules`` file are expanded once, and kept only when all were taken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from data_build.collect import kept_texts as module
from data_build.collect.kept_texts import kept_texts
from data_build.collect.text_rules import written_texts
from data_build.records import Clip, Dialogue
from data_build.wording.wording import SplitWording, wording
from soundflow.errors import UserError

RULES = """
language: en
copies: 20
items:
  - {text: "we (went|drove|walked) to (Leeds|Oslo|Rome) on (Monday|Friday)"}
  - turns: [{user: "Is it (cold|warm|dry) in (Leeds|Oslo|Rome) today?", assistant: "Yes."}]
"""
TRAIN = SplitWording.of(wording(), "train", {"train": 1.0, "test": 1.0})


def test_what_was_kept_is_given_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rules, store = tmp_path / "own.rules", tmp_path / "store"
    rules.write_text(RULES)
    made = list(written_texts(rules, TRAIN, 1))
    assert {type(item) for item in made} == {Clip, Dialogue}
    assert list(kept_texts(rules, TRAIN, 1, store, keep=False)) == made
    assert not store.exists()
    next(iter(kept_texts(rules, TRAIN, 1, store, keep=True)))  # the rest is not taken
    assert list(store.glob("*.jsonl")) == []
    assert list(kept_texts(rules, TRAIN, 1, store, keep=True)) == made

    def expanded(*_: Any) -> Any:
        raise AssertionError("expanded again")

    monkeypatch.setattr(module, "written_texts", expanded)
    for keep in (True, False):
        assert list(kept_texts(rules, TRAIN, 1, store, keep=keep)) == made
    test = SplitWording.of(wording(), "test", {"train": 1.0, "test": 1.0})
    for other in (lambda: kept_texts(rules, TRAIN, 2, store, keep=True),
                  lambda: kept_texts(rules, test, 1, store, keep=True)):  # fmt: skip
        with pytest.raises(AssertionError, match="again"):
            list(other())
    rules.write_text(RULES.replace("Rome", "Bern"))
    with pytest.raises(AssertionError, match="again"):
        list(kept_texts(rules, TRAIN, 1, store, keep=True))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        list(kept_texts(tmp_path / "none.rules", TRAIN, 1, tmp_path / "store", keep=True))
    assert list((tmp_path / "store").glob("*")) == []
