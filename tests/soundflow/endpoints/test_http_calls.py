"""Calls to a real server that is slow, busy, broken, wrong or gone."""

from __future__ import annotations

import time
from email.utils import formatdate
from typing import Any

import pytest

from soundflow.endpoints.http_calls import (
    BadAnswer,
    CallCounts,
    CallFailure,
    Endpoint,
    EndpointCaller,
    ServerGone,
)
from soundflow.errors import UserError
from tests.soundflow.endpoints.chat_server import Cut, Dribble, Raw, Say

GOOD = Raw(200, b"good")
BAD = {
    "server_error": Raw(500, b"oh no"),
    "busy": Raw(429),
    "unusable": Raw(200, b"what?"),
    "connection": Cut(),
}


def caller_of(url: str, **endpoint: Any) -> EndpointCaller:
    patience = {"backoff_s": 0.01, "timeout_s": 5.0, "item_limit_s": 10.0, "retries": 3} | endpoint
    return EndpointCaller(Endpoint(url, **patience))


def ask(caller: EndpointCaller) -> str:
    def accept(content: bytes) -> str:
        if content != b"good":
            raise BadAnswer("unusable", repr(content))
        return content.decode()

    return caller.call("ask", {"n": 1}, accept)


@pytest.mark.parametrize("kind", sorted(BAD))
def test_a_bad_answer_is_asked_for_again_and_an_endless_one_is_given_up(kind, chat_server):
    server = chat_server(lambda n, body: GOOD if n == 2 else BAD[kind])
    caller = caller_of(server.url)
    assert ask(caller) == "good"
    assert caller.counts == CallCounts(items=1, requests=3, retries=2)
    with pytest.raises(CallFailure) as failed:
        ask(caller)
    assert failed.value.kind == kind
    assert caller.counts == CallCounts(2, 3 + 4, 2 + 3, 0, {kind: 1})
    caller.close()


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after_is_honoured(form, chat_server):
    def answer(n, body):
        value = "1" if form == "seconds" else formatdate(time.time() + 2, usegmt=True)
        return Raw(429, headers={"Retry-After": value}) if n == 0 else GOOD

    server = chat_server(answer)
    caller = caller_of(server.url)
    ask(caller)
    caller.close()
    assert server.times_s[1] - server.times_s[0] >= 0.9


def test_a_retry_after_beyond_the_items_limit_fails_at_once(chat_server):
    server = chat_server(lambda n, body: Raw(429, headers={"Retry-After": "3600"}))
    caller = caller_of(server.url)
    with pytest.raises(CallFailure, match="busy"):
        ask(caller)
    caller.close()
    assert len(server.bodies) == 1


def test_an_account_without_quota_is_asked_once(chat_server):
    server = chat_server(lambda n, body: Raw(429, b'{"error": {"code": "insufficient_quota"}}'))
    caller = caller_of(server.url)
    with pytest.raises(ServerGone, match="insufficient_quota"):
        ask(caller)
    caller.close()
    assert len(server.bodies) == 1


@pytest.mark.parametrize("action", [Dribble(), Say({}, after_s=60)])
def test_one_slow_request_is_cut_off_and_so_is_an_item(action, chat_server):
    server = chat_server(lambda n, body: action)
    caller = caller_of(server.url, timeout_s=0.3, retries=1)
    with pytest.raises(CallFailure, match="timeout"):
        ask(caller)
    caller.close()
    assert len(server.bodies) == 2
    caller = caller_of(server.url, item_limit_s=0.3, retries=100)
    with pytest.raises(CallFailure, match="time_limit"):
        ask(caller)
    caller.close()


def test_a_wrong_key_is_the_users_mistake_but_only_at_the_start(chat_server):
    server = chat_server(lambda n, body: GOOD if n == 1 else Raw(401, b"no such key"))
    caller = caller_of(server.url)
    with pytest.raises(UserError, match=r"401.*no such key"):
        ask(caller)
    ask(caller)
    with pytest.raises(CallFailure, match="refused"):
        ask(caller)
    caller.close()


def test_a_key_comes_from_the_environment(chat_server, monkeypatch):
    monkeypatch.setenv("A_KEY", "secret")
    server = chat_server(lambda n, body: GOOD)
    caller = caller_of(server.url, api_key_env="A_KEY")
    ask(caller)
    caller.close()
    assert server.headers[0]["authorization"] == "Bearer secret"


def test_where_nobody_answers_the_server_is_gone(chat_server):
    server = chat_server(lambda n, body: GOOD)
    caller = caller_of(server.url, retries=1)
    assert ask(caller) == "good"
    server.stop()
    with pytest.raises(ServerGone, match="ConnectError") as gone:
        ask(caller)
    assert gone.value.server == server.url
    assert caller.counts.retries == 1
    caller.close()


def test_a_server_that_fails_item_after_item_is_gone(chat_server):
    server = chat_server(lambda n, body: GOOD if n == 1 else Raw(500, b"oh no"))
    caller = caller_of(server.url, retries=0, gone_after=2)
    with pytest.raises(CallFailure, match="server_error"):
        ask(caller)
    assert ask(caller) == "good"  # counts anew from here
    for _ in range(2):
        with pytest.raises(CallFailure, match="server_error"):
            ask(caller)
    with pytest.raises(ServerGone, match="the last 2 calls failed"):
        ask(caller)
    assert len(server.bodies) == 4
    caller.close()


@pytest.mark.parametrize(
    "wrong",
    [
        {"base_url": "localhost:8000"},
        {"base_url": "http:///v1"},
        {"timeout_s": 0},
        {"timeout_s": float("nan")},
        {"retries": -1},
    ],
)
def test_an_impossible_endpoint_is_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Endpoint(**({"base_url": "http://x"} | wrong))
