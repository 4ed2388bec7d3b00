"""Streams from a store are those of the folder, whatever the store does on the way."""

from __future__ import annotations

import logging
import multiprocessing
import os
import pickle
import time
from collections.abc import Iterator
from pathlib import Path

import fsspec
import numpy as np
import pytest

from soundflow.errors import UserError
from soundflow.shards import store as stores
from soundflow.shards.address import Url, address
from soundflow.shards.cache import Cache, machine_cache
from soundflow.shards.reader import ShardSet
from soundflow.shards.schema import StreamSample
from tests.soundflow.shards.http_store import HttpStore, http_store


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cache:
    monkeypatch.setenv("SOUNDFLOW_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(stores, "FIRST_WAIT_S", 0.001)
    monkeypatch.setattr(stores, "LONGEST_WAIT_S", 0.002)
    return machine_cache()


@pytest.fixture
def remote(tone_data: Path) -> Iterator[HttpStore]:
    with http_store(tone_data) as store:
        yield store


def entries(cache: Cache) -> list[Path]:
    return [p for p in cache.folder.glob("??/*") if p.is_file()]


def same(a: StreamSample, b: StreamSample) -> bool:
    return a.record == b.record and np.array_equal(a.pcm, b.pcm) and np.array_equal(a.ids, b.ids)


def test_a_store_holds_what_the_folder_holds(remote: HttpStore, tone_data: Path) -> None:
    here, there = ShardSet(tone_data / "train"), ShardSet(f"{remote.url}/train/")
    assert there.content_hash == here.content_hash
    assert list(there.lengths.tokens) == list(here.lengths.tokens)
    there.fetch(range(len(there)))
    asked = len(remote.asked)
    assert all(same(here.read(i), there.read(i)) for i in range(len(here)))
    assert len(remote.asked) == asked, "everything was fetched"
    assert there.record(3) == here.record(3)
    there.verify()
    again = pickle.loads(pickle.dumps(there))
    assert again.folder == there.folder


def test_a_stream_is_one_request_for_its_part_of_a_shard(remote: HttpStore) -> None:
    split = ShardSet(f"{remote.url}/train")
    split.record(2)
    split.read(2)
    split.read(3)
    split.read(2)
    tars = [wanted for path, wanted in remote.asked if path.endswith(".tar")]
    assert len(tars) == 2
    assert all(wanted.startswith("bytes=") for wanted in tars)


@pytest.mark.parametrize("protocol", ["memory", "file"])
def test_other_protocols_are_the_same_code(protocol: str, tone_data: Path) -> None:
    url = f"file://{tone_data}/train"
    if protocol == "memory":
        url = "memory://tones/train"
        for path in (tone_data / "train").iterdir():
            fsspec.filesystem("memory").pipe_file(f"/tones/train/{path.name}", path.read_bytes())
    here, there = ShardSet(tone_data / "train"), ShardSet(url)
    there.fetch([1, 5, 9])
    assert all(same(here.read(i), there.read(i)) for i in (1, 5, 9))
    there.verify()


@pytest.mark.parametrize("status", [503, 429, 0, -1], ids=["503", "429", "cut short", "damaged"])
def test_a_failure_that_passes_is_told_and_overcome(
    remote: HttpStore, tone_data: Path, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    split = ShardSet(f"{remote.url}/train")
    remote.status, remote.failures, remote.on = status, 2, ".tar"
    with caplog.at_level(logging.WARNING):
        found = split.read(0)
    assert same(found, ShardSet(tone_data / "train").read(0))
    assert sum("trying again" in r.getMessage() for r in caplog.records) == 2


def test_a_failure_that_stays_is_one_line_with_the_shard(remote: HttpStore) -> None:
    split = ShardSet(f"{remote.url}/train")
    remote.failures, remote.on = 1000, ".tar"
    with pytest.raises(UserError, match=r"train/000000\.tar: the store failed \(status 503\)") as e:
        split.read(0)
    assert "credentials" in e.value.hint
    assert sum(path.endswith(".tar") for path, _ in remote.asked) == stores.ATTEMPTS


def test_what_cannot_pass_is_not_tried_again(remote: HttpStore) -> None:
    with pytest.raises(UserError, match=r"nowhere/index\.json: is not there"):
        ShardSet(f"{remote.url}/nowhere")
    assert len(remote.asked) == 1
    remote.failures, remote.status = 1000, 403
    with pytest.raises(UserError, match="status 403"):
        ShardSet(f"{remote.url}/train")
    assert len(remote.asked) == 2


def test_a_store_that_says_nothing_is_left(
    remote: HttpStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores, "SILENCE_S", 0.2)
    monkeypatch.setattr(stores, "ATTEMPTS", 2)
    remote.delay_s = 1.0
    with pytest.raises(UserError, match=r"index\.json: the store failed \(.*[Tt]imeout"):
        ShardSet(f"{remote.url}/train")


def test_a_store_without_ranges_is_named(remote: HttpStore) -> None:
    split = ShardSet(f"{remote.url}/train")
    remote.ranges = False
    with pytest.raises(UserError, match=r"000000\.tar: the store failed \(its answer of \d+ bytes"):
        split.read(1)


def test_another_build_at_the_same_address_is_another(tone_data: Path, tmp_path: Path) -> None:
    """Entries are known by the content that the index names."""
    place = tmp_path / "place"
    with http_store(place) as store:
        for split in ("train", "valid"):
            place.unlink(missing_ok=True)
            place.symlink_to(tone_data / split)
            found = ShardSet(store.url).read(0)
            assert same(found, ShardSet(tone_data / split).read(0))


def test_a_damaged_entry_is_fetched_anew(remote: HttpStore, cache: Cache, tone_data: Path) -> None:
    ShardSet(f"{remote.url}/train").read(4)
    for path in entries(cache):
        path.write_bytes(path.read_bytes()[:-1])
    assert same(ShardSet(f"{remote.url}/train").read(4), ShardSet(tone_data / "train").read(4))


def test_the_least_recently_used_goes_first(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "small", limit_bytes=1000)
    now = time.time()
    for n in range(10):
        cache.put(str(n), bytes(100))
        os.utime(cache.path(str(n)), (now - 1000 + n, now - 1000 + n))
    assert cache.get("0") is not None  # used just now
    cache.put("10", bytes(100))
    left = {n for n in range(11) if cache.path(str(n)).exists()}
    assert left == {0, 3, 4, 5, 6, 7, 8, 9, 10}


def test_entries_of_another_user_are_read(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.put("a", b"theirs")

    def refuse(path: Path) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "utime", refuse)
    assert cache.get("a") == b"theirs"


def _fill(folder: Path, seed: int) -> None:
    cache = Cache(folder, limit_bytes=200_000)
    for n in range(300):
        key = str((seed * 7 + n) % 90)
        data = cache.get(key)
        assert data is None or data == key.encode() * 1000, "half an entry"
        cache.put(key, key.encode() * 1000)


def test_several_processes_share_a_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("soundflow.shards.cache._IN_USE_S", 0.0)
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_fill, args=(tmp_path / "c", s)) for s in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    _fill(tmp_path / "c", 9)
    size = sum(path.stat().st_size for path in (tmp_path / "c").glob("??/*"))
    assert size <= 200_000 + 200_000 // 64 + 2000
    assert not list((tmp_path / "c").rglob("*.partial"))


def test_a_size_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for wrong in ("much", "0", "-1", "nan"):
        monkeypatch.setenv("SOUNDFLOW_CACHE_GB", wrong)
        with pytest.raises(UserError, match="SOUNDFLOW_CACHE_GB"):
            machine_cache()


@pytest.mark.parametrize("text", [
    "https://me:secret@host/data", "s3://bucket/data?X-Amz-Signature=secret", "gs://b/d#secret",
])  # fmt: skip
def test_credentials_do_not_belong_into_an_address(text: str) -> None:
    with pytest.raises(UserError) as caught:
        ShardSet(text)
    assert "secret" not in str(caught.value)
    assert "credentials" in str(caught.value)


def test_paths_stay_paths(tmp_path: Path) -> None:
    assert address(str(tmp_path)) == tmp_path
    assert Url("s3://bucket/data/") / "train" == "s3://bucket/data/train"
    assert (Url("s3://bucket/data") / "train").name == "train"
