"""The published training rows against our layout, id by id."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundflow.errors import UserError
from soundflow.interop.training_rows import (
    TrainingRow,
    read_training_rows,
    write_training_rows,
)
from soundflow.protocol.layout import LABEL_IGNORE, Role, labels, online_stream
from soundflow.protocol.tokens import TokenTable
from soundflow.shards.schema import StreamRecord, StreamSample

TABLE = TokenTable()
WORDS = st.lists(st.integers(0, 1000), max_size=4)
REPLIES = st.dictionaries(st.integers(0, 5), st.tuples(WORDS, st.just("sad")), max_size=3)


def _sample(replies: dict[int, tuple[list[int], str]]) -> StreamSample:
    piece = online_stream(TABLE, 10, [1, 2], 6, replies)
    record = StreamRecord("s", "online", "a", "t", "system", 6 * 6400)
    return StreamSample(
        record,
        np.zeros(6 * 6400, np.int16),
        np.array(piece.ids, np.int32),
        np.array(piece.roles, np.int8),
    )


@given(REPLIES)
def test_a_stream_goes_out_and_comes_back(replies: dict[int, tuple[list[int], str]]) -> None:
    sample = _sample(replies)
    row = TrainingRow.from_sample(sample, 3, TABLE, "features/3")
    row.validate(TABLE)
    back = TrainingRow.from_json(row.to_json())
    assert back == row
    assert len(row.audio_spans) == 6
    assert row.n_slots == 60
    np.testing.assert_array_equal(back.roles(TABLE), sample.roles)


@pytest.mark.parametrize("name", ["online/step4", "online/edge_step4", "offline/output"])
def test_golden_rows_read_and_write_back(shared: Path, tmp_path: Path, name: str) -> None:
    rows = list(read_training_rows(shared / f"goldens/{name}.jsonl", TABLE))
    assert write_training_rows(tmp_path / "x.jsonl", rows) == len(rows)
    assert (tmp_path / "x.jsonl").read_bytes() == (shared / f"goldens/{name}.jsonl").read_bytes()
    for row in rows:
        roles = row.roles(TABLE)
        ids = np.array(row.ids, np.int32)
        np.testing.assert_array_equal(labels(ids, roles), row.labels)
        wanted = len(row.audio_spans) if row.kind == "online" else 0
        assert (roles == Role.DECISION).sum() == wanted


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    row = TrainingRow.from_sample(_sample({1: ([5], "sad")}), 0, TABLE, None)
    shifted = (LABEL_IGNORE, *row.labels[:-1])
    for bad, why in [
        (replace(row, labels=row.labels[:-1]), "'labels'"),
        (replace(row, labels=shifted), "position"),
        (replace(row, audio_spans=row.audio_spans[1:]), "slots"),
        (replace(row, ids=(999_999, *row.ids[1:])), "vocabulary"),
    ]:
        path = tmp_path / "bad.jsonl"
        write_training_rows(path, [bad])
        with pytest.raises(UserError, match=r"bad\.jsonl:1") as caught:
            list(read_training_rows(path, TABLE))
        assert why in str(caught.value)
