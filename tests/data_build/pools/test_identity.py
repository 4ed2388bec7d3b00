"""Which texts are the same, and which are too short to tell anything."""

from __future__ import annotations

import pytest

from data_build.pools.identity import identifying, same_text, texts_of
from data_build.records import Clip, Dialogue, DialogueTurn, Origin, Unspoken


def test_case_punctuation_and_width_make_no_difference() -> None:
    assert same_text("Where's  the STATION?") == same_text("where s the station")
    assert same_text("ＡＢＣ") == same_text("abc")


@pytest.mark.parametrize(
    ("text", "tells"),
    [("one", False), ("Thank you.", False), ("Wo ist er?", True), ("你好", False),
     ("请问火车站在哪里", True), ("...", False)],
)  # fmt: skip
def test_short_texts_are_vocabulary(text: str, tells: bool) -> None:
    assert bool(identifying(text)) == tells


def test_a_translation_pair_is_the_same_both_ways() -> None:
    origin = Origin("test", "CC0-1.0")
    there = Clip("a", "speech", Unspoken(), origin, text="Wo ist er?", translation="Where is he?")
    back = Clip("b", "speech", Unspoken(), origin, text="where is he", translation="wo ist er")
    assert sorted(texts_of(there)) == sorted(texts_of(back))
    turns = (DialogueTurn("Hi.", "Hello."), DialogueTurn("Where is he?", "There."))
    assert texts_of(Dialogue("d", turns, origin)) == ["where is he"]
