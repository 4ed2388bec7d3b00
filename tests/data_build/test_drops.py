"""Drops and a gone server cross process boundaries whole."""

from __future__ import annotations

import pickle

from data_build.drops import Drop, Dropped, unanswered
from soundflow.endpoints.http_calls import CallFailure, ServerGone
from soundflow.errors import UserError


def test_a_drop_crosses_processes() -> None:
    drop = Drop("sources", "rows.jsonl:3", "no such file", "choice")
    again = pickle.loads(pickle.dumps(Dropped(drop)))
    assert again.drop == drop
    assert str(again) == "rows.jsonl:3: no such file"


def test_items_without_an_answer_are_counted_by_the_kind_of_failure() -> None:
    drop = unanswered(CallFailure("wrong_schema", "$.a: missing"), "plan", "bag-7")
    assert (drop.step, drop.kind) == ("plan", "loss")
    assert drop.item == "bag-7: $.a: missing"
    assert drop.reason == "no usable answer from the server: wrong_schema"


def test_a_gone_server_is_the_users_to_mend() -> None:
    again = pickle.loads(pickle.dumps(ServerGone("http://localhost:1", "connection refused")))
    assert isinstance(again, UserError)
    assert "http://localhost:1 has stopped answering: connection refused" in again.message
    assert "same command" in again.hint
