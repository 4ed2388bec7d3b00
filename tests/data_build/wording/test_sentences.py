"""Articles, spaces and capitals."""

from __future__ import annotations

from data_build.wording.sentences import finished, tidied


def test_articles_spaces_and_capitals_are_put_in_order() -> None:
    assert (
        finished("a/an alarm , a/an bell. it is a/an hour", "en")
        == "An alarm, a bell. It is an hour"
    )
    assert finished("a/an university and a/an one", "en") == "A university and a one"
    assert finished("听到 三次 x 了", "zh") == "听到三次x了"
    assert finished("tell me. it rains! why? so", "en") == "Tell me. It rains! Why? So"
    assert tidied("a/an owl  or a/an bell", "en") == "an owl or a bell"
