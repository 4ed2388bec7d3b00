"""An update is planned from the table of lengths alone, and the same however it is shared."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundflow.data.config import DataConfig, DataSource, LengthWarmUp
from soundflow.data.mixture import Mixture
from soundflow.data.plan import (
    PlannedStream,
    UpdatePlan,
    held_out_rows,
    plan_update,
)
from soundflow.shards.lengths import Lengths, StreamLengths, Turn, table_of

BLOCK = 13  # tokens of a chunk with its decision
PREFIX = 5
SOURCES = (DataSource(Path("a")), DataSource(Path("b")))


@st.composite
def streams(draw: st.DrawFn) -> StreamLengths:
    chunks = draw(st.integers(0, 12))
    if not chunks:
        n = draw(st.integers(2, 60))
        return StreamLengths(n + 4, 0, 0, n, "offline", "text")
    at = draw(st.sets(st.integers(0, chunks - 1), max_size=chunks))
    turns = tuple(Turn(chunk, draw(st.integers(2, 9))) for chunk in sorted(at))
    said = sum(turn.reply_tokens for turn in turns)
    return StreamLengths(PREFIX + chunks * BLOCK + said, chunks, chunks, said, "online", "t", turns)


TABLES = st.lists(
    st.lists(streams(), min_size=1, max_size=20).map(table_of), min_size=2, max_size=2
)
WORLDS = st.sampled_from([1, 2, 3, 4, 8])


def config(row_tokens: int, **more: object) -> DataConfig:
    return DataConfig(SOURCES, global_batch_size=12, row_tokens=row_tokens, **more)


def plan(update: int, tables: list[Lengths], how: DataConfig, world: int = 1) -> UpdatePlan:
    mixture = Mixture(7, tuple(map(len, tables)), (2.0, 1.0))
    return plan_update(update, mixture, tables, how, BLOCK, world)


def planned(plan: UpdatePlan) -> list[PlannedStream]:
    return [stream for rows in plan.ranks for row in rows for stream in row]


@given(TABLES, WORLDS, st.integers(300, 2000), st.integers(0, 500))
def test_ranks_and_rows_change_no_stream_and_no_count(
    tables: list[Lengths], world: int, row_tokens: int, update: int
) -> None:
    alone = plan(update, tables, config(100_000))
    shared = plan(update, tables, config(row_tokens), world)
    assert Counter(planned(shared)) == Counter(planned(alone))
    assert len(planned(shared)) == 12
    assert (shared.decisions, shared.reply_tokens) == (alone.decisions, alone.reply_tokens)
    assert shared.decisions == sum(s.lengths.decisions for s in planned(shared))
    assert shared.reply_tokens == sum(s.lengths.reply_tokens for s in planned(shared))


@given(TABLES, WORLDS, st.integers(300, 2000), st.integers(0, 500))
def test_every_rank_has_as_many_rows_and_none_is_too_long(
    tables: list[Lengths], world: int, row_tokens: int, update: int
) -> None:
    shared = plan(update, tables, config(row_tokens), world)
    assert len(shared.ranks) == world
    assert len({len(rows) for rows in shared.ranks}) == 1
    loads = [[sum(s.lengths.tokens for s in row) for row in rows] for rows in shared.ranks]
    assert max(map(max, loads)) <= row_tokens
    tokens, n_rows = sum(map(sum, loads)), len(loads[0]) * world
    assert max(map(max, loads)) <= tokens / n_rows + max(s.lengths.tokens for s in planned(shared))


def test_many_streams_are_packed_evenly() -> None:
    rng = np.random.default_rng(0)
    lengths = [StreamLengths(int(n), 0, 0, 1, "offline", "t") for n in rng.integers(60, 900, 512)]
    how = DataConfig(SOURCES, global_batch_size=512, row_tokens=8192)
    found = plan_update(0, Mixture(0, (512,), (1.0,)), [table_of(lengths)], how, BLOCK, 4)
    loads = [sum(s.lengths.tokens for s in row) for rows in found.ranks for row in rows]
    assert max(loads) < 1.01 * sum(loads) / len(loads)


@given(TABLES, st.integers(0, 500))
def test_a_beginning_has_what_the_table_says(tables: list[Lengths], update: int) -> None:
    warm = config(10_000, length_warm_up=LengthWarmUp(1000, 3, 6))
    limit = warm.length_warm_up.limit_chunks(update)
    for stream in planned(plan(update, tables, warm)):
        whole = tables[stream.draw.source][stream.draw.stream]
        if whole.kind == "offline":
            assert stream.lengths == whole
            continue
        chunks = min(limit, whole.chunks)
        said = sum(t.reply_tokens for t in whole.turns if t.chunk < chunks)
        found = stream.lengths
        assert (found.chunks, found.decisions, found.reply_tokens) == (chunks, chunks, said)
        assert found.tokens == PREFIX + chunks * BLOCK + said


@given(TABLES, st.integers(0, 500))
def test_truncated_streams_end_with_a_reply(tables: list[Lengths], update: int) -> None:
    for stream in planned(plan(update, tables, config(10_000, truncate=1.0))):
        whole = tables[stream.draw.source][stream.draw.stream]
        if len(whole.turns) < 2:
            assert stream.lengths == whole
        else:
            assert stream.lengths.turns[-1].chunk == stream.lengths.chunks - 1
            assert 0 < len(stream.lengths.turns) < len(whole.turns)


@given(TABLES, WORLDS)
def test_held_out_streams_come_once(tables: list[Lengths], world: int) -> None:
    rows = held_out_rows(tables, 500, world)
    assert len(rows) % world == 0
    found = sorted((s.draw.source, s.draw.stream) for row in rows for s in row)
    assert found == [(source, i) for source in (0, 1) for i in range(len(tables[source]))]


def test_a_stream_longer_than_a_row_is_refused() -> None:
    table = table_of([StreamLengths(90, 0, 0, 86, "offline", "text")])
    with pytest.raises(ValueError, match="a stream of 90 tokens exceeds row_tokens=80"):
        plan(0, [table, table], config(80))


def test_the_warm_up_reaches_its_end() -> None:
    warm = LengthWarmUp(updates=3, from_chunks=2, to_chunks=4)
    assert [warm.limit_chunks(u) for u in range(5)] == [2, 3, 4, None, None]
    with pytest.raises(ValueError, match="from_chunks=5"):
        LengthWarmUp(3, 5, 4)
