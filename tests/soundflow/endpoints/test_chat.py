"""The chat client against a real server that answers well, wrongly, or no more."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from soundflow.endpoints.chat import ChatClient, ChatConfig, ChatRequest
from soundflow.endpoints.http_calls import CallCounts, CallFailure, Endpoint, ServerGone
from soundflow.endpoints.prompts import Prompt
from tests.soundflow.endpoints.chat_server import Raw, Say

PROMPT = Prompt("double", 1, "a test", "You double numbers.", "Double {{ n }}.", "0" * 64)
SCHEMA = {
    "type": "object",
    "properties": {"twice": {"type": "integer"}},
    "required": ["twice"],
    "additionalProperties": False,
}


def client_of(url: str, cache: Path | None = None, **endpoint: Any) -> ChatClient:
    patience = {"backoff_s": 0.01, "timeout_s": 5.0, "item_limit_s": 10.0, "retries": 3} | endpoint
    return ChatClient(
        ChatConfig(Endpoint(url, **patience), cache_dir=str(cache) if cache else None)
    )


def number_in(body: dict[str, Any]) -> int:
    return int(body["messages"][1]["content"].split()[1].rstrip("."))


def test_an_answer_that_fits_the_schema_comes_back(chat_server, monkeypatch):
    monkeypatch.setenv("A_KEY", "secret")
    server = chat_server(lambda n, body: Say({"twice": 2 * number_in(body)}))
    with client_of(server.url, api_key_env="A_KEY") as client:
        assert client.ask_json(PROMPT, {"n": 21}, SCHEMA) == {"twice": 42}
        assert client.counts == CallCounts(items=1, requests=1)
    body = server.bodies[0]
    assert body["response_format"] == {"type": "json_object"}
    assert body["temperature"] == 0.7
    assert json.dumps(SCHEMA) in body["messages"][0]["content"]
    assert server.headers[0]["authorization"] == "Bearer secret"


BAD = {
    "invalid_json": Say('{"twice": '),
    "wrong_schema": Say({"twice": "two"}),
    "not_a_completion": Raw(200, b"<html>"),
    "cut_short": Say('{"twice": 4', finish_reason="length"),
    "empty": Say(""),
}


@pytest.mark.parametrize("kind", sorted(BAD))
def test_a_bad_answer_is_asked_for_again_and_an_endless_one_is_given_up(kind, chat_server):
    server = chat_server(lambda n, body: BAD[kind] if n < 2 or n > 2 else Say({"twice": 4}))
    with client_of(server.url) as client:
        assert client.ask_json(PROMPT, {"n": 2}, SCHEMA) == {"twice": 4}
        assert (client.counts.requests, client.counts.retries) == (3, 2)
        with pytest.raises(CallFailure) as failed:
            client.ask_json(PROMPT, {"n": 3}, SCHEMA)
        assert failed.value.kind == kind
        assert client.counts.failures == {kind: 1}
        assert client.counts.requests == 3 + 4


def test_extra_keys_arrays_and_fences(chat_server):
    answers = [Say({"twice": 4, "more": 1}), Say([1]), Say('```json\n{"twice": 4}\n```')]
    server = chat_server(lambda n, body: answers[n])
    with client_of(server.url) as client:
        assert client.ask_json(PROMPT, {"n": 2}, SCHEMA) == {"twice": 4}
        assert client.counts.requests == 3


def test_many_come_back_in_order_with_bounded_concurrency_and_failures_in_place(chat_server):
    def answer(n, body):
        number = number_in(body)
        if number % 7 == 3:
            return Raw(500)
        return Say({"twice": 2 * number}, after_s=0.03 if number % 4 == 0 else 0.0)

    server = chat_server(answer)
    drawn = []

    def requests():
        for n in range(60):
            drawn.append(n)
            yield ChatRequest(PROMPT, {"n": n}, SCHEMA)

    with client_of(server.url, concurrency=4, retries=1, gone_after=100) as client:
        answers = client.map_json(requests())
        first = next(answers)
        assert len(drawn) <= 8
        rest = list(answers)
        counts = client.counts
    for n, got in enumerate([first, *rest]):
        if n % 7 == 3:
            assert isinstance(got, CallFailure)
        else:
            assert got == {"twice": 2 * n}
    assert server.most_at_once <= 4
    failed = len([n for n in range(60) if n % 7 == 3])
    assert counts == CallCounts(60, 60 + failed, failed, 0, {"server_error": failed})


def test_a_server_that_dies_in_the_middle_ends_the_work(chat_server):
    server = chat_server(lambda n, body: Say({"twice": 2 * number_in(body)}))
    with client_of(server.url, concurrency=2, retries=1) as client:
        answers = client.map_json(ChatRequest(PROMPT, {"n": n}, SCHEMA) for n in range(400))
        assert [next(answers) for _ in range(10)] == [{"twice": 2 * n} for n in range(10)]
        server.stop()
        with pytest.raises(ServerGone, match="ConnectError") as gone:
            list(answers)
        assert gone.value.server == server.url
        assert client.counts.requests < 100
        with pytest.raises(ServerGone):
            client.ask_json(PROMPT, {"n": 2}, SCHEMA)


def test_the_same_question_is_asked_once_and_a_damaged_entry_is_asked_anew(chat_server, tmp_path):
    server = chat_server(lambda n, body: Say({"twice": n}))
    with client_of(server.url, tmp_path) as client:
        first = client.ask_json(PROMPT, {"n": 2}, SCHEMA)
    with client_of(server.url, tmp_path) as client:
        assert client.ask_json(PROMPT, {"n": 2}, SCHEMA) == first
        assert client.counts == CallCounts(cache_hits=1)
        (entry,) = tmp_path.rglob("*.json")
        assert entry.parts[-3] == "double.v1"
        entry.write_bytes(entry.read_bytes()[:40])
        assert client.ask_json(PROMPT, {"n": 2}, SCHEMA) == {"twice": 1}
        assert client.ask_json(PROMPT, {"n": 2}, SCHEMA) == {"twice": 1}
        # Another version of the prompt, or other words, are other questions.
        newer = Prompt("double", 2, "a test", PROMPT.system, PROMPT.user, "1" * 64)
        assert client.ask_json(newer, {"n": 2}, SCHEMA) == {"twice": 2}
        assert client.ask_json(PROMPT, {"n": 3}, SCHEMA) == {"twice": 3}
    assert not list(tmp_path.rglob(".*"))
    assert len({b["seed"] for b in server.bodies}) == 3


def test_threads_share_a_client(chat_server):
    server = chat_server(lambda n, body: Say({"twice": 2 * number_in(body)}))
    with client_of(server.url) as client:
        got = {}
        threads = [
            threading.Thread(
                target=lambda n=n: got.setdefault(n, client.ask_json(PROMPT, {"n": n}, SCHEMA))
            )
            for n in range(12)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert got == {n: {"twice": 2 * n} for n in range(12)}
