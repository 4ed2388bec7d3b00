"""The chat rewriter against a real server of the chat-completions protocol."""

from __future__ import annotations

import pytest

from data_build.speech.rewriting.rewriter import ChatRewriter
from soundflow.endpoints.chat import ChatClient, ChatConfig
from soundflow.endpoints.http_calls import CallFailure, Endpoint
from tests.soundflow.endpoints.chat_server import Raw, Say

WRITTEN = "It costs **$5** 🙂"
GOOD = {
    "text": "It costs five dollars",
    "changes": [
        {"rule": "currency", "before": "$5", "after": "five dollars"},
        {"rule": "emoji", "before": "🙂", "after": ""},
    ],
}


def client_of(url: str) -> ChatClient:
    endpoint = Endpoint(url, backoff_s=0.01, timeout_s=30.0, item_limit_s=90.0, retries=2)
    return ChatClient(ChatConfig(endpoint))


def test_the_model_rewrites_and_names_its_changes(chat_server):
    server = chat_server(lambda n, body: Say(GOOD))
    with client_of(server.url) as client:
        rewritten = ChatRewriter(client).rewrite(WRITTEN, "en")
    assert rewritten.text == "It costs five dollars"
    assert rewritten.rules == ("currency", "emoji")
    system, user = (m["content"] for m in server.bodies[0]["messages"])
    assert "code omitted" in system
    assert WRITTEN in user


def test_a_clean_sentence_is_not_even_asked_about(chat_server):
    server = chat_server(lambda n, body: Say({"text": "Something else.", "changes": []}))
    with client_of(server.url) as client:
        rewritten = ChatRewriter(client).rewrite("How are you today?", "en")
    assert (rewritten.text, rewritten.changes) == ("How are you today?", ())
    assert server.bodies == []


def test_what_the_model_leaves_in_or_does_not_name_comes_to_light(chat_server):
    server = chat_server(lambda n, body: Say({"text": "It costs **5** dollars", "changes": []}))
    with client_of(server.url) as client:
        rewritten = ChatRewriter(client).rewrite(WRITTEN, "en")
    assert rewritten.text == "It costs five dollars"
    assert rewritten.rules == ("unnamed", "emphasis", "number")


@pytest.mark.parametrize(
    "bad", [Raw(500), Raw(429), Say("not json"), Say({"text": 5, "changes": []})]
)
def test_a_bad_answer_is_asked_for_again_and_then_fails_the_item(chat_server, bad):
    server = chat_server(lambda n, body: bad if n == 0 else Say(GOOD))
    with client_of(server.url) as client:
        assert ChatRewriter(client).rewrite(WRITTEN, "en").text == "It costs five dollars"
    server = chat_server(lambda n, body: bad)
    with client_of(server.url) as client, pytest.raises(CallFailure):
        ChatRewriter(client).rewrite(WRITTEN, "en")
