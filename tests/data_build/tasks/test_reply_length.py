"""Replies are cut after a whole sentence."""

from __future__ import annotations

from data_build.tasks.reply_length import shortened


def test_a_reply_is_cut_after_a_sentence() -> None:
    assert shortened("One two. Three four. Five.", 4) == "One two. Three four."
    assert shortened("one two three four", 2) == "one two"
