"""The layout is the published one, reads back, and keeps control ids out of text."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundflow.protocol.layout import (
    LABEL_IGNORE,
    Role,
    labels,
    listen,
    offline_answer,
    offline_audio,
    offline_prefix,
    offline_user,
    online_stream,
    parse_online,
    silence,
)
from soundflow.protocol.tokens import EMOTIONS, TokenTable

TABLE = TokenTable()
SLOTS = 10
TEXT = st.lists(st.integers(0, 151_600), max_size=6)


def test_an_online_stream_has_the_published_ids() -> None:
    piece = online_stream(TABLE, SLOTS, [1, 2], 2, {1: ([7, 8], "urgent")})
    heard = [151647, *[151608] * 10, 151602]
    assert list(piece.ids) == [
        151609, 151611, 151644, 151644, 1, 2, 151643,
        *heard, 151605,
        *heard, 151644, 151619, 7, 8, 151643,
    ]  # fmt: skip


def test_every_token_is_the_target_of_at_most_one_loss() -> None:
    piece = online_stream(TABLE, SLOTS, [1], 2, {1: ([7], "happy")})
    by_role = {
        r: [i for i, role in zip(piece.ids, piece.roles, strict=True) if role == r] for r in Role
    }
    assert by_role[Role.DECISION] == [151605, 151644]
    assert by_role[Role.REPLY] == [151614, 7, 151643]
    row = labels(np.array(piece.ids, np.int32), np.array(piece.roles, np.int8))
    assert (row != LABEL_IGNORE).sum() == 5
    assert not set(row[row != LABEL_IGNORE]) & {151608, 151602, 151609}


def test_offline_blocks_have_the_published_ids() -> None:
    assert list(offline_prefix(TABLE, [5]).ids) == [151610, 151611, 151644, 151644, 5, 151643]
    assert list(offline_audio(TABLE, 2).ids) == [151647, 151646, 151646, 151648]
    assert list(offline_user(TABLE, [3]).ids) == [151601, 151644, 3, 151643]
    answer = offline_answer(TABLE, [4])
    assert list(answer.ids) == [151602, 151644, 4, 151643]
    assert set(answer.roles) == {Role.REPLY}


@given(
    system=TEXT,
    n_chunks=st.integers(1, 8),
    turns=st.dictionaries(
        st.integers(0, 7), st.tuples(TEXT, st.sampled_from(EMOTIONS)), max_size=4
    ),
)
def test_what_was_laid_out_reads_back(
    system: list[int], n_chunks: int, turns: dict[int, tuple[list[int], str]]
) -> None:
    turns = {chunk: turn for chunk, turn in turns.items() if chunk < n_chunks}
    piece = online_stream(TABLE, SLOTS, system, n_chunks, turns)
    parsed = parse_online(TABLE, SLOTS, piece.ids)
    assert parsed.system_ids == tuple(system)
    assert parsed.n_chunks == n_chunks
    assert {t.chunk: (list(t.text_ids), t.emotion) for t in parsed.turns} == turns


def test_training_row_is_what_the_decoder_appends_piece_by_piece() -> None:
    whole = online_stream(TABLE, SLOTS, [1], 3, {})
    live = online_stream(TABLE, SLOTS, [1], 0, {})
    for _ in range(3):
        live = live + listen(TABLE, SLOTS) + silence(TABLE)
    assert live == whole


def test_a_control_id_in_text_is_refused() -> None:
    with pytest.raises(ValueError, match="151605"):
        online_stream(TABLE, SLOTS, [], 1, {0: ([151605], "normal")})


def test_a_reply_outside_the_stream_is_refused() -> None:
    with pytest.raises(ValueError, match="outside"):
        online_stream(TABLE, SLOTS, [], 2, {2: ([1], "normal")})


@pytest.mark.parametrize("cut", [0, 7, 12, 18, 19, 24])
def test_ids_that_leave_the_layout_are_refused_with_their_position(cut: int) -> None:
    ids = list(online_stream(TABLE, SLOTS, [1], 2, {1: ([7], "sad")}).ids)
    ids[cut] = TABLE.user
    with pytest.raises(ValueError, match="position"):
        parse_online(TABLE, SLOTS, ids)


def test_a_cut_off_turn_is_refused() -> None:
    ids = online_stream(TABLE, SLOTS, [1], 1, {0: ([7], "sad")}).ids[:-1]
    with pytest.raises(ValueError, match="not closed"):
        parse_online(TABLE, SLOTS, ids)
