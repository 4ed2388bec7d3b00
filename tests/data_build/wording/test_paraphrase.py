"""A chat model adds wordings; what does not fit is left out, and a build asks once."""

from __future__ import annotations

from pathlib import Path

import pytest

from data_build.drops import Drop
from data_build.wording.paraphrase import (
    FILE,
    ask_for_paraphrases,
    keep_paraphrases,
    read_paraphrases,
    with_paraphrases,
)
from data_build.wording.wording import SplitWording, wording
from soundflow.endpoints.chat import ChatClient, ChatConfig
from soundflow.endpoints.http_calls import Endpoint
from soundflow.errors import UserError
from tests.soundflow.endpoints.chat_server import Body, ChatServer, Raw, Say


def answer(number: int, body: Body) -> Say | Raw:
    asked = body["messages"][1]["content"]
    if "quiet.reply" in asked:
        return Raw(400)
    if "watch.found" in asked:
        return Say({"texts": ["Hark, {s}!", "Hark!", "Hark, {other}!", "Hark, ({s})!", "", "a {"]})
    return Say({"texts": []})


def test_wordings_of_a_model_join_those_of_the_files(tmp_path: Path) -> None:
    drops: list[Drop] = []
    with ChatServer(answer) as server:
        config = ChatConfig(Endpoint(server.url, retries=0), cache_dir=str(tmp_path / "chat"))
        with ChatClient(config) as client:
            found = ask_for_paraphrases(wording(), client, drops.append)
            assert found == {"en": {"watch.found": ["Hark, {s}!"]}}
            asked = len(server.bodies)
            assert ask_for_paraphrases(wording(), client, [].append) == found
            assert len(server.bodies) == asked + 1  # the refused one alone
            keep_paraphrases(tmp_path, wording(), client, [].append)
    assert [drop.item for drop in drops] == ["en/quiet.reply: HTTP 400: {}"]
    assert any("{s}" in body["messages"][1]["content"] for body in server.bodies)
    more = with_paraphrases(wording(), read_paraphrases(tmp_path))
    assert more.key != wording().key
    split = SplitWording.of(more, "train", {"train": 1.0})
    said = {split.stream(n).text("<watch.found>", s="rain") for n in range(200)}
    assert "Hark, rain!" in said


def test_a_rule_that_was_refused_once_stays_refused_in_the_same_build(tmp_path: Path) -> None:
    """A build that goes on after an interruption says the same, byte for byte."""
    runs: list[tuple[list[Drop], bytes, str]] = []

    def moody(number: int, body: Body) -> Say | Raw:
        asked = body["messages"][1]["content"]
        return Raw(400) if not runs and "quiet.reply" in asked else Say({"texts": ["Hush."]})

    with ChatServer(moody) as server:
        config = ChatConfig(Endpoint(server.url, retries=0), cache_dir=str(tmp_path / "chat"))
        with ChatClient(config) as client:
            for _ in range(2):
                drops: list[Drop] = []
                keep_paraphrases(tmp_path, wording(), client, drops.append)
                said = with_paraphrases(wording(), read_paraphrases(tmp_path))
                runs.append((drops, (tmp_path / FILE).read_bytes(), said.key))
            assert runs[0] == runs[1]
            assert [drop.item for drop in runs[0][0]] == ["en/quiet.reply: HTTP 400: {}"]
            other = wording((), (("zh", 1.0),))
            keep_paraphrases(tmp_path, other, client, [].append)
    assert list(read_paraphrases(tmp_path)) == ["zh"]


def test_damaged_paraphrases_are_named(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("{}")
    with pytest.raises(UserError, match="missing or damaged"):
        read_paraphrases(tmp_path)
