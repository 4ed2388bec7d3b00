"""Shards: same bytes for the same streams, whole or not there, damage named."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from soundflow.errors import UserError
from soundflow.protocol.layout import online_stream
from soundflow.protocol.turns import Event, Reply
from soundflow.shards.reader import ShardSet
from soundflow.shards.schema import (
    MixedItem,
    NoiseTrack,
    SourceClip,
    StreamRecord,
    StreamSample,
    quantise,
)
from soundflow.shards.sidecar import sealed, unsealed
from soundflow.shards.writer import finished_shard, write_index, write_shard
from soundflow.text.presets import stream_spec
from soundflow.text.tiny import tiny_tokenizer

TOKENIZER = tiny_tokenizer()
SPEC = stream_spec(TOKENIZER)
N_CHUNKS = 3


def stream(seed: int) -> StreamSample:
    n_samples = N_CHUNKS * 6400
    noise = np.random.default_rng(seed).normal(size=n_samples).astype(np.float32) * 0.1
    replies = (Reply(1, "Light on — 好.", "urgent"),)
    turns = {r.chunk: (TOKENIZER.encode(r.text), r.emotion) for r in replies}
    piece = online_stream(SPEC.tokens, 10, TOKENIZER.encode("Listen."), N_CHUNKS, turns)
    record = StreamRecord(
        id=f"s{seed:03d}", kind="online", ability="instruction", task="light", system="Listen.",
        n_samples=n_samples, replies=replies,
        events=(Event("phrase", 10, 6000, 7000, True, ("Light on — 好.",)),),
        items=(
            MixedItem(SourceClip("a", "own", "CC0-1.0", "", ("Speech",)), "phrase",
                      "foreground", 10, 6_990, -3.5, 10, 6_000, reply_chunks=(1,),
                      text="light on", hit_limit=False),
        ),
        noise=(NoiseTrack((SourceClip("n", "own", "CC0-1.0", "née"),), 12.5),),
        peak_limited=True,
        provenance={"seed": seed},
    )  # fmt: skip
    return StreamSample(
        record, quantise(noise), np.array(piece.ids, np.int32), np.array(piece.roles, np.int8)
    )


def write(folder: Path, n_shards: int = 2) -> Path:
    infos = [
        write_shard(folder, k, f"work{k}", [stream(3 * k + i) for i in range(3)], SPEC)
        for k in range(n_shards)
    ]
    write_index(folder, SPEC, infos)
    return folder


def test_streams_read_back_whole(tmp_path: Path) -> None:
    shards = ShardSet(write(tmp_path / "data"))
    assert len(shards) == 6
    assert shards.n_samples == 6 * N_CHUNKS * 6400
    for position in (0, 2, 3, 5):
        want, got = stream(position), shards.read(position)
        assert got.record == want.record == shards.record(position)
        np.testing.assert_array_equal(got.pcm, want.pcm)
        np.testing.assert_array_equal(got.ids, want.ids)
        np.testing.assert_array_equal(got.roles, want.roles)
        np.testing.assert_array_equal(quantise(got.audio()), want.pcm)
    shards.verify()
    assert shards.spec == SPEC
    with pytest.raises(IndexError):
        shards.read(6)


def test_same_streams_same_bytes(tmp_path: Path) -> None:
    a, b = write(tmp_path / "a"), write(tmp_path / "b")
    for path in sorted(a.iterdir()):
        assert path.read_bytes() == (b / path.name).read_bytes()


def test_the_tar_is_a_webdataset(tmp_path: Path) -> None:
    import webdataset

    folder = write(tmp_path / "data", n_shards=1)
    samples = list(webdataset.WebDataset([str(folder / "000000.tar")], shardshuffle=False))
    assert [s["__key__"] for s in samples] == ["s000", "s001", "s002"]
    assert {"flac", "json", "tokens.npy"} <= set(samples[0])


def test_work_is_known_by_its_key(tmp_path: Path) -> None:
    folder = write(tmp_path / "data")
    assert finished_shard(folder, 1, "work1") is not None
    assert finished_shard(folder, 1, "other work") is None
    with (folder / "000001.tar").open("ab") as tar:
        tar.write(b"x")
    assert finished_shard(folder, 1, "work1") is None


def test_an_error_while_writing_leaves_nothing(tmp_path: Path) -> None:
    def dying() -> Iterator[StreamSample]:
        yield stream(0)
        raise RuntimeError("the worker died")

    with pytest.raises(RuntimeError):
        write_shard(tmp_path / "data", 0, "work", dying(), SPEC)
    assert list((tmp_path / "data").iterdir()) == []


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    # A file-size limit is what a full disk looks like to the writer: the write itself fails.
    code = f"""
import resource, signal, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
from test_shards import SPEC, stream, write_shard
from soundflow.errors import UserError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    write_shard(Path({str(tmp_path / "data")!r}), 0, "work", [stream(0), stream(1)], SPEC)
except UserError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "000000.tar: the disk is full" in done.stdout
    assert list((tmp_path / "data").iterdir()) == []


def test_damage_is_named_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        ShardSet(tmp_path / "nowhere")
    folder = write(tmp_path / "data")
    with pytest.raises(UserError) as caught:
        ShardSet(tmp_path / "vaild")
    assert caught.value.hint == "this build has the splits data"
    tar = folder / "000001.tar"
    whole = tar.read_bytes()

    tar.write_bytes(whole[:-2000])
    with pytest.raises(UserError, match=r"000001\.tar: .*the index says"):
        ShardSet(folder)

    shards = ShardSet(write(tmp_path / "data"))
    offset, size, _ = shards.entry(3).members["flac"]
    tar.write_bytes(whole[:offset] + bytes(size) + whole[offset + size :])
    with pytest.raises(UserError, match=r"damaged shard .*000001\.tar: audio of s003"):
        shards.read(3)
    with pytest.raises(UserError, match=r"000001\.tar: its checksum"):
        shards.verify()

    tar.unlink()
    with pytest.raises(UserError, match=r"000001\.tar: missing"):
        ShardSet(folder)
    tar.write_bytes(whole)
    (folder / "000000.json").unlink()
    with pytest.raises(UserError, match=r"damaged shard .*000000\.tar: its sidecar is missing"):
        ShardSet(folder)
    (folder / "index.json").unlink()
    with pytest.raises(UserError, match="not finished"):
        ShardSet(folder)


def test_the_folder_of_a_build_is_told_from_an_unfinished_split(tmp_path: Path) -> None:
    write(tmp_path / "data" / "train")
    with pytest.raises(UserError, match="a whole build, not one of its splits") as found:
        ShardSet(tmp_path / "data")
    assert found.value.hint == "name one of its folders: train"


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 0x01
    path.write_bytes(data)


@pytest.mark.parametrize("member", ["flac", "json", "tokens.npy"])
@pytest.mark.parametrize("where", [0.0, 0.3, 0.6, 0.99])
def test_one_flipped_bit_is_seen_by_whoever_reads_the_stream(
    tmp_path: Path, member: str, where: float
) -> None:
    folder = write(tmp_path / "data")
    shards = ShardSet(folder)
    offset, size, _ = shards.entry(4).members[member]
    flip(folder / "000001.tar", offset + int(where * size))
    with pytest.raises(UserError, match=r"damaged shard .*000001\.tar: .*s004") as error:
        shards.read(4)
    assert error.value.hint == "make it again with the same build command"
    shards.read(3)
    with pytest.raises(UserError, match="damaged shard"):
        shards.verify()


@pytest.mark.parametrize("part", ['"members"', '"s004"', '"key"', '"n_bytes"', '"lengths"'])
def test_one_flipped_bit_of_a_sidecar_is_seen(tmp_path: Path, part: str) -> None:
    folder = write(tmp_path / "data")
    sidecar = folder / "000001.json"
    for step in range(1, 60):
        at = sidecar.read_bytes().find(part.encode()) + step
        flip(sidecar, at)
        with pytest.raises(UserError, match=r"damaged shard .*000001\.tar: its sidecar"):
            ShardSet(folder).read(4)
        assert finished_shard(folder, 1, "work1") is None
        flip(sidecar, at)
    ShardSet(folder).read(4)


@pytest.mark.parametrize("file", ["index.json", "streams.npy", "turns.npy"])
def test_one_flipped_bit_of_the_index_is_seen(tmp_path: Path, file: str) -> None:
    folder = write(tmp_path / "data")
    for at in (5, (folder / file).stat().st_size - 30):
        flip(folder / file, at)
        with pytest.raises(UserError, match=rf"damaged index .*{file}"):
            ShardSet(folder).verify()
        flip(folder / file, at)
    ShardSet(folder).verify()


@pytest.mark.parametrize("file", ["streams.npy", "turns.npy"])
def test_a_damaged_header_of_a_table_is_named(tmp_path: Path, file: str) -> None:
    table = write(tmp_path / "data") / file
    whole = table.read_bytes()
    damaged = [whole[:at] + b"\0" + whole[at:] for at in range(0, 120, 3)]
    for content in (b"", whole[:-1], *damaged):
        table.write_bytes(content)
        with pytest.raises(UserError, match="damaged index"):
            len(ShardSet(table.parent).lengths)


def test_a_damaged_shard_is_set_aside(tmp_path: Path) -> None:
    folder = write(tmp_path / "data")
    flip(folder / "000001.tar", 1000)
    assert finished_shard(folder, 1, "work1", verify=False) is not None
    assert finished_shard(folder, 1, "work1") is None
    assert (folder / "000001.tar.damaged").is_file()
    assert not (folder / "000001.tar").exists()
    ShardSet(write(tmp_path / "data")).verify()


def test_another_schema_version_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "data")
    index = json.loads(unsealed((folder / "index.json").read_bytes()))
    first_one = json.dumps({**index, "schema": 1}, indent=1)  # had no checksum
    for text, version in ((sealed(json.dumps({**index, "schema": 99})), 99), (first_one, 1)):
        (folder / "index.json").write_text(text)
        with pytest.raises(UserError, match=rf"another version .*\(schema {version},") as error:
            ShardSet(folder)
        assert "build the data again" in error.value.hint


def test_a_finished_folder_keeps_no_left_overs(tmp_path: Path) -> None:
    folder = write(tmp_path / "data", n_shards=2)
    info = finished_shard(folder, 0, "work0")
    assert info is not None
    write_index(folder, SPEC, [info])
    assert sorted(p.name for p in folder.iterdir()) == [
        "000000.json", "000000.tar", "index.json", "streams.npy", "turns.npy",
    ]  # fmt: skip


def test_a_stream_that_contradicts_itself_is_refused() -> None:
    good = stream(0)
    for bad, said in [
        (replace(good, pcm=good.pcm[:-1]), "samples"),
        (replace(good, ids=good.ids[:-1]), "ids"),
        (replace(good, ids=np.where(good.ids == SPEC.tokens.pad, 30, good.ids)), "audio slots"),
        (replace(good, roles=good.roles + 7), "role"),
    ]:
        with pytest.raises(ValueError, match=said):
            bad.validate(SPEC)


@pytest.mark.parametrize("audio", [[0.0, 1.01], [np.nan], [np.inf]])
def test_only_audio_within_full_scale_is_quantised(audio: list[float]) -> None:
    with pytest.raises(ValueError, match="within"):
        quantise(np.array(audio, np.float32))
