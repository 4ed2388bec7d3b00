"""A chat model adds wordings; what does not fit is left out, and a build asks once."""

from __future__ import annotations

import json
from pathlib import Path

from data_build.drops import Drop
from data_build.wording.paraphrase import (
    ask_for_paraphrases,
    read_paraphrases,
    with_paraphrases,
    write_paraphrases,
)
from data_build.wording.wording import SplitWording, wording
from soundflow.endpoints.chat import ChatClient, ChatConfig
from soundflow.endpoints.http_calls import Endpoint
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
    assert [drop.item for drop in drops] == ["en/quiet.reply: HTTP 400: {}"]
    assert any("{s}" in body["messages"][1]["content"] for body in server.bodies)
    write_paraphrases(tmp_path, found)
    more = with_paraphrases(wording(), read_paraphrases(tmp_path))
    assert more.key != wording().key
    split = SplitWording.of(more, "train", {"train": 1.0})
    said = {split.stream(n).text("<watch.found>", s="rain") for n in range(200)}
    assert "Hark, rain!" in said
    assert json.loads((tmp_path / "paraphrases.json").read_text()) == found
