"""The table of lengths: what it says is what the streams are, and it costs nothing to open."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from soundflow.data.config import DataConfig, DataSource
from soundflow.data.mixture import Mixture
from soundflow.data.plan import plan_update
from soundflow.errors import UserError
from soundflow.protocol.layout import Role, block_tokens
from soundflow.protocol.spec import StreamSpec
from soundflow.shards import reader
from soundflow.shards.lengths import (
    KINDS,
    LENGTHS_NAME,
    TURNS_NAME,
    StreamLengths,
    Turn,
    open_lengths,
    table_bytes,
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
    assert lengths[3].kind == "offline"
    assert [lengths[i].task for i in range(4)] == ["tones", "tones", "tones", "text"]
    shards.verify()


def test_a_row_that_tells_another_story_is_found(shards: ShardSet, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"damaged index .*streams\.npy: tone0001"):
        shards.require_row(0, shards.read(1))


def test_another_process_maps_the_file_itself(shards: ShardSet) -> None:
    shards.lengths  # noqa: B018 (opened before it is sent)
    sent = pickle.dumps(shards)
    assert len(sent) < 1000
    assert pickle.loads(sent).lengths[1] == shards.lengths[1]


def test_another_process_reads_past_a_shard_that_is_cut_short(shards: ShardSet) -> None:
    assert isinstance(shards.folder, Path)
    shard = min(shards.folder.glob("*.tar"))
    shard.write_bytes(shard.read_bytes()[:100])
    lenient = ShardSet(shards.folder, require_whole=False)
    assert len(pickle.loads(pickle.dumps(lenient))) == len(shards)
    with pytest.raises(UserError, match=shard.name):
        pickle.loads(pickle.dumps(shards))


def write(folder: Path, rows: list[StreamLengths]) -> dict[str, Any]:
    table = table_of(rows)
    (folder / LENGTHS_NAME).write_bytes(table_bytes(table.rows))
    (folder / TURNS_NAME).write_bytes(table_bytes(table.turns))
    return {"kinds": list(KINDS), "tasks": list(table.tasks), "n_turns": len(table.turns)}


def test_a_table_survives_its_files(tmp_path: Path) -> None:
    rows = [
        StreamLengths(60, 3, 3, 9, "online", "b", (Turn(0, 5), Turn(2, 4))),
        StreamLengths(5, 0, 0, 4, "offline", "a"),
        StreamLengths(30, 2, 2, 3, "online", "b", (Turn(1, 3),)),
    ]
    about = write(tmp_path, rows)
    found = open_lengths(tmp_path.joinpath, 3, about)
    assert [found[i] for i in range(3)] == rows
    assert found[-1] == rows[-1]
    assert not found.rows.flags.owndata, "a view of the file, not a copy"
    for n, wrong in [(4, about), (3, {**about, "n_turns": 2}), (3, {**about, "kinds": ["other"]})]:
        with pytest.raises(ValueError, match=r"3 rows|2 rows|4 rows|kinds"):
            open_lengths(tmp_path.joinpath, n, wrong)
    assert len(open_lengths(tmp_path.joinpath, 0, write(tmp_path, []))) == 0


def test_the_beginning_of_a_stream_is_known_without_it(
    spec: StreamSpec, make_tone_stream, make_text_stream
) -> None:
    block = block_tokens(spec.tokens, spec.time.slots_per_chunk)
    for sample in (make_tone_stream(0, 6), make_tone_stream(1, 4)):
        whole = StreamLengths.of(sample, spec)
        starts = [*np.flatnonzero(sample.ids == spec.tokens.audio_begin), len(sample.ids)]
        for n in range(1, whole.chunks + 2):
            cut, end = whole.first_chunks(n, block), starts[min(n, whole.chunks)]
            assert cut.tokens == end
            assert cut.decisions == (sample.roles[:end] == Role.DECISION).sum()
            assert cut.reply_tokens == (sample.roles[:end] == Role.REPLY).sum()
    text = StreamLengths.of(make_text_stream(0), spec)
    assert text.first_chunks(1, block) == text


def test_an_update_of_a_large_corpus_is_planned_from_the_table_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [StreamLengths(100 + i % 700, 0, 0, 9, "offline", "a") for i in range(30_000)]
    about = write(tmp_path, rows)
    monkeypatch.setattr(reader, "_load_sidecar", lambda *_: pytest.fail("a sidecar was read"))
    lengths = open_lengths(tmp_path.joinpath, len(rows), about)
    config = DataConfig((DataSource(tmp_path),), global_batch_size=64, row_tokens=4096)
    plan = plan_update(10, Mixture(0, (len(rows),), (1.0,)), [lengths], config, 13)
    assert sum(len(row) for row in plan.ranks[0]) == 64
