"""Rules make the texts of each split; what a split lacks two of is said before any work."""

from __future__ import annotations

from pathlib import Path

import pytest

from data_build.collect.text_rules import written_texts
from data_build.pools.identity import texts_of
from data_build.records import Clip, Dialogue
from data_build.wording.wording import SplitWording, wording
from soundflow.errors import UserError

RULES = """
language: en
copies: 40
lists:
  city: [Leeds, Oslo, Rome, Lima]
  country: [{name: Norway, capital: Oslo}, {name: Peru, capital: Lima}]
rules:
  go: |
    we (went|drove|walked|flew) to
    they (moved|came|sailed) to
items:
  - {text: "<go> {city}[ yesterday| last week]", translation: "{city}!", translation_language: de}
  - turns:
      - user: "(What|Which city) is the capital of {country.name}[, please| again]?"
        assistant: "{country.capital}."
        emotion: happy
"""
SHARES = {"train": 0.6, "test": 0.4}


def written(path: Path, split: str) -> list[Clip | Dialogue]:
    return list(written_texts(path, SplitWording.of(wording(), split, SHARES), 1))


def test_each_split_has_texts_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.rules"
    path.write_text(RULES)
    train, test = written(path, "train"), written(path, "test")
    assert train == written(path, "train")
    said = [{t for item in items for t in texts_of(item)[:1]} for items in (train, test)]
    assert all(said)
    assert said[0].isdisjoint(said[1])
    pairs = {"Norway": "Oslo.", "Peru": "Lima."}
    for item in (*train, *test):
        if isinstance(item, Dialogue):
            (turn,) = item.turns
            assert [pairs[name] for name in pairs if name in turn.user] == [turn.assistant]
            assert turn.emotion == "happy"
        else:
            assert item.translation.removesuffix("!") in item.text
            assert item.translation_language == "de"


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (("{city}[", "{town}["), "town"),
        (("<go>", "<gone>"), "gone>; did you mean <go>"),
        (("{city}[", "({city}["), "not closed"),
        (("<go>", "<go> <go"), "'<' at character"),
        (("emotion: happy", "emotion: odd"), "odd"),
        (("copies: 40", "copys: 40"), "copys"),
        (("- turns:", "- places: [kitchn]\n    turns:"), "did you mean 'kitchen'"),
        (("[Leeds, Oslo, Rome, Lima]", "[]"), "lists.city"),
        (("capital: Lima", "town: Lima"), "item 1.*country.capital"),
        (("they (moved", "<go> (moved"), "circle: go -> go"),
    ],
)
def test_a_wrong_file_is_named(tmp_path: Path, change: tuple[str, str], fault: str) -> None:
    path = tmp_path / "mine.rules"
    path.write_text(RULES.replace(*change))
    with pytest.raises(UserError, match=fault):
        written(path, "train")


def test_one_context_has_one_reply(tmp_path: Path) -> None:
    path = tmp_path / "mine.rules"
    path.write_text(
        """
language: en
copies: 60
lists: {hour: [nine, ten, noon], name: [Ann, Bo, Cy, Di, Ed, Flo, Gus, Hal]}
items:
  - turns:
      - {user: "my name is {name}, when is lunch", assistant: "(At|Just after|Before) {hour}."}
      - {user: "thank you[ very much| so much], I am hungry", assistant: "(Enjoy|At {hour})."}
"""
    )
    replies: dict[str, set[str]] = {}
    for item in written(path, "train"):
        assert isinstance(item, Dialogue)
        so_far = ""
        for turn in item.turns:
            so_far += turn.user
            replies.setdefault(so_far, set()).add(turn.assistant)
    assert len(replies) > 4
    assert all(len(told) == 1 for told in replies.values())
    assert len(set.union(*replies.values())) > 3
