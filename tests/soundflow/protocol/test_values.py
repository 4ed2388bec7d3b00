"""Time base, token table, events, state machine and spec refuse what cannot be."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundflow.errors import UserError
from soundflow.protocol.dialogue_state import Listening, Speaking, advance, legal
from soundflow.protocol.front_end import FrontEnd
from soundflow.protocol.spec import StreamSpec
from soundflow.protocol.stream_config import StreamConfig
from soundflow.protocol.timebase import TimeBase
from soundflow.protocol.tokens import TokenTable
from soundflow.protocol.turns import Event, Reply

TIME = TimeBase()
TABLE = TokenTable()


def test_the_published_grids() -> None:
    assert (TIME.frames_per_chunk, TIME.slots_per_chunk, TIME.chunk_s) == (40, 10, 0.4)


@given(st.integers(1, 10**9))
def test_a_reply_falls_into_the_chunk_that_holds_the_last_sample(end: int) -> None:
    chunk = TIME.reply_chunk(end)
    assert chunk * 6400 < end <= TIME.decision_time_samples(chunk)
    assert (end + TIME.padding_of(end)) == TIME.chunks_in(end) * 6400


@pytest.mark.parametrize(
    "grids", [{"hop_samples": 150}, {"slot_samples": 0}, {"chunk_samples": 6401}]
)
def test_grids_that_do_not_nest_are_refused(grids: dict[str, int]) -> None:
    with pytest.raises(ValueError):
        TimeBase(**grids)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"keep_silence": 151_644}, "share the id"),
        ({"pad": 151_936}, "outside the vocabulary"),
        ({"happy": -1}, "outside the vocabulary"),
    ],
)
def test_an_impossible_token_table_is_refused(change: dict[str, int], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        replace(TABLE, **change)


@pytest.mark.parametrize(
    "event",
    [
        {"on_samples": 5, "ready_samples": 5, "end_samples": 9},
        {"on_samples": 0, "ready_samples": 10, "end_samples": 9},
        {"on_samples": 0, "ready_samples": 5, "end_samples": 9, "must_respond": True},
        {"on_samples": 0, "ready_samples": 5, "end_samples": 9, "answers": ("hm",)},
    ],
)
def test_an_impossible_event_is_refused(event: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        Event(kind="k", **event)


def test_an_impossible_reply_is_refused() -> None:
    with pytest.raises(ValueError):
        Reply(-1, "x")
    with pytest.raises(ValueError, match="gleeful"):
        Reply(1, "x", "gleeful")


def test_a_turn_passes_through_the_states() -> None:
    state: Listening | Speaking = Listening()
    state = advance(state, TABLE.keep_silence, TABLE)
    assert state == Listening()
    for token, after in [
        (TABLE.text_begin, Speaking(0)),
        (TABLE.urgent, Speaking(1)),
        (42, Speaking(2)),
        (TABLE.text_end, Listening()),
    ]:
        state = advance(state, token, TABLE)
        assert state == after


@given(st.sampled_from([Listening(), Speaking(0), Speaking(3)]), st.integers(0, 151_935))
def test_what_is_not_legal_is_refused(state: Listening | Speaking, token: int) -> None:
    if legal(state, TABLE).allows(token):
        advance(state, token, TABLE)
    else:
        with pytest.raises(ValueError, match="not legal"):
            advance(state, token, TABLE)


def test_no_control_id_but_the_end_is_legal_inside_a_turn() -> None:
    allowed = {i for i in TABLE.control_ids if legal(Speaking(1), TABLE).allows(i)}
    assert allowed == {TABLE.text_end}


def test_a_spec_survives_json_and_names_what_differs() -> None:
    spec = StreamSpec(tokenizer="abc")
    assert StreamSpec.from_json(spec.to_json()) == spec
    other = replace(spec, front_end=FrontEnd(maximum="clip"), tokens=replace(TABLE, pad=7))
    assert spec.fingerprint != other.fingerprint
    assert spec.diff(other) == [
        "front_end.maximum: window != clip",
        "tokens.pad: 151608 != 7",
    ]
    with pytest.raises(UserError, match=r"data and model .*front_end\.maximum: window != clip"):
        spec.require_same(other, "data", "model")


@pytest.mark.parametrize("chunk_s", [0.04, 0.08, 0.2, 0.4, 0.6, 0.8])
def test_a_stream_block_gives_the_spec(chunk_s: float) -> None:
    spec = StreamConfig(chunk_s=chunk_s).spec("abc", TABLE)
    assert spec.time.chunk_s == pytest.approx(chunk_s)
    assert spec.time.chunk_samples % spec.time.slot_samples == 0
    assert spec.time.slots_per_chunk == round(chunk_s / 0.04)
    assert (spec.tokenizer, spec.tokens) == ("abc", TABLE)
    assert StreamConfig().spec("abc", TABLE) == StreamSpec(tokenizer="abc", tokens=TABLE)


@pytest.mark.parametrize(
    ("chunk_s", "said"),
    [
        (0.5, "nearest: 0.48 or 0.52"),
        (0.01, "nearest: 0.04"),
        (0.0, "positive"),
        (-0.4, "positive"),
        (float("nan"), "positive"),
        (float("inf"), "positive"),
    ],
)
def test_a_chunk_is_a_whole_number_of_slots(chunk_s: float, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        StreamConfig(chunk_s=chunk_s)


def test_a_window_that_nobody_takes_is_not_part_of_the_spec() -> None:
    one, other = (StreamConfig(maximum="running", window_chunks=n) for n in (5, 60))
    assert one.spec("abc", TABLE) == other.spec("abc", TABLE)
    assert StreamConfig(window_chunks=5).front_end != StreamConfig().front_end
    with pytest.raises(ValueError, match="window_chunks"):
        StreamConfig(window_chunks=0)


def test_a_damaged_spec_is_the_users_error() -> None:
    with pytest.raises(UserError):
        StreamSpec.from_json({"tokenizer": "x", "time": {"hop": 3}})
