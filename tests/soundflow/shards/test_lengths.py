"""The table of lengths: what it says is what the streams are, and it costs nothing to open."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from soundflow.data.schedule import Schedule, micro_batches
from soundflow.errors import UserError
from soundflow.protocol.spec import StreamSpec
from soundflow.shards import reader
from soundflow.shards.lengths import (
    KINDS,
    LENGTHS_NAME,
    ROW,
    Lengths,
    StreamLengths,
    open_lengths,
    table_of,
)
from soundflow.shards.reader import ShardSet
from soundflow.shards.writer import write_index, write_shard


@pytest.fixture(scope="module")
def shards(tmp_path_factory, spec: StreamSpec, make_tone_stream, make_text_stream) -> ShardSet:
    """Three tones of 4, 5 and 6 chunks (the first is answered) and an exchange of text."""
    folder = tmp_path_factory.mktemp("lengths") / "train"
    streams = [make_tone_stream(i, 4 + i) for i in range(3)] + [make_text_stream(0)]
    parts = [streams[:2], streams[2:]]
    infos = [write_shard(folder, k, f"k{k}", part, spec) for k, part in enumerate(parts)]
    write_index(folder, spec, infos)
    return ShardSet(folder)


def test_a_row_is_what_its_stream_is(shards: ShardSet) -> None:
    lengths = shards.lengths
    assert len(lengths) == len(shards) == 4
    assert lengths.chunks.tolist() == [4, 5, 6, 0]
    assert lengths.decisions.tolist() == [4, 5, 6, 0]
    assert lengths.tokens.tolist() == [len(shards.read(i).ids) for i in range(4)]
    assert (lengths.reply_tokens > 0).tolist() == [True, False, True, True]
    assert lengths.is_kind("online").tolist() == [True, True, True, False]
    assert lengths.is_task("tones").tolist() == [True, True, True, False]
    assert not lengths.is_task("nothing").any()
    assert lengths[3].kind == "offline"
    assert lengths[3].task == "text"
    shards.verify()


def test_a_row_that_tells_another_story_is_found(shards: ShardSet, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"damaged index .*streams\.npy: tone0001"):
        shards.require_row(0, shards.read(1))


def test_another_process_maps_the_file_itself(shards: ShardSet) -> None:
    shards.lengths  # noqa: B018 (opened before it is sent)
    sent = pickle.dumps(shards)
    assert len(sent) < 1000
    assert pickle.loads(sent).lengths[1] == shards.lengths[1]


def test_a_table_survives_its_file(tmp_path: Path) -> None:
    rows = [StreamLengths(9, 3, 3, 2, "online", "b"), StreamLengths(5, 0, 0, 4, "offline", "a")]
    table = table_of(rows)
    (tmp_path / LENGTHS_NAME).write_bytes(table.to_bytes())
    about = {"kinds": list(KINDS), "tasks": list(table.tasks)}
    found = open_lengths(tmp_path / LENGTHS_NAME, 2, about)
    assert [found[0], found[1]] == rows
    with pytest.raises(ValueError, match="3 streams"):
        open_lengths(tmp_path / LENGTHS_NAME, 3, about)
    with pytest.raises(ValueError, match="kinds"):
        open_lengths(tmp_path / LENGTHS_NAME, 2, {**about, "kinds": ["other"]})
    empty = table_of([])
    (tmp_path / LENGTHS_NAME).write_bytes(empty.to_bytes())
    assert len(open_lengths(tmp_path / LENGTHS_NAME, 0, {**about, "tasks": []})) == 0


def test_an_update_of_a_large_corpus_is_planned_from_the_table_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    n = 300_000
    rows = np.zeros(n, ROW)
    rows["tokens"] = 100 + np.arange(n) % 700
    path = tmp_path / LENGTHS_NAME
    path.write_bytes(Lengths(rows, ()).to_bytes())
    monkeypatch.setattr(reader, "_load_sidecar", lambda *_: pytest.fail("a sidecar was read"))
    lengths = open_lengths(path, n, {"kinds": list(KINDS), "tasks": []})
    assert not lengths.rows.flags.owndata, "a view of the file, not a copy"
    update = Schedule(0, n, 64).rows(10)
    batches = micro_batches(update, lambda i: int(lengths.tokens[i]), 8)
    assert len(batches) == 8
    spread = [np.ptp([lengths.tokens[r.stream] for r in batch]) for batch in batches]
    assert np.mean(spread) < 200, "rows of similar length together"
    assert lengths.tokens.max() == 799
