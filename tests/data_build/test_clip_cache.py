from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from data_build.clip_cache import ClipCache, clip_key
from soundflow.errors import UserError


def _noise(seed: int, n: int = 4000) -> np.ndarray:
    return (np.random.default_rng(seed).uniform(-0.5, 0.5, n)).astype(np.float32)


def _store(folder: Path, seed: int) -> bytes:
    cache = ClipCache(folder)
    return cache.put(clip_key({"seed": seed % 3}), _noise(seed % 3)).path.read_bytes()


def test_what_is_put_is_got_and_equals_its_first_reading(tmp_path: Path) -> None:
    cache = ClipCache(tmp_path)
    key = clip_key({"text": "hello", "rate": 1.0})
    assert cache.get(key) is None
    first = cache.put(key, _noise(1), {"wer": 0.0})
    again = ClipCache(tmp_path).get(key)
    assert again is not None
    assert again == first
    np.testing.assert_array_equal(again.read(), first.read())
    np.testing.assert_allclose(again.read(), _noise(1), atol=1 / 65536)


def test_keys_depend_on_content_and_not_on_order() -> None:
    assert clip_key({"a": 1, "b": 2}) == clip_key({"b": 2, "a": 1})
    assert clip_key({"a": 1}) != clip_key({"a": "1"})


def test_a_damaged_clip_is_not_there(tmp_path: Path) -> None:
    cache = ClipCache(tmp_path)
    stored = cache.put("ab" * 20, _noise(2))
    whole = stored.path.read_bytes()
    flipped = bytes([*whole[:300], whole[300] ^ 1, *whole[301:]])
    for damaged in (b"", whole[:40], whole[:-100], flipped):
        stored.path.write_bytes(damaged)
        assert cache.get("ab" * 20) is None
    cache.put("ab" * 20, _noise(2), {"take": 1})
    assert cache.get("ab" * 20) is not None
    notes = stored.path.with_suffix(".json")
    notes.write_text(notes.read_text().replace('"take": 1', '"take": 2'))
    assert cache.get("ab" * 20) is None


def test_processes_that_make_the_same_clip_agree(tmp_path: Path) -> None:
    with ProcessPoolExecutor(2) as pool:
        blobs = list(pool.map(_store, [tmp_path] * 12, range(12)))
    assert len(set(blobs)) == 3
    assert len(list(tmp_path.rglob("*.flac"))) == 3
    assert not list(tmp_path.rglob("*.partial"))


def test_the_longest_unused_go_first_and_the_fresh_stay(tmp_path: Path) -> None:
    cache = ClipCache(tmp_path, limit_bytes=20_000)
    keys = [clip_key({"n": n}) for n in range(6)]
    paths = [cache.put(k, _noise(n)).path for n, k in enumerate(keys)]
    assert sum(p.stat().st_size for p in paths) > 20_000
    assert cache.trim() == 0  # all used within the hour
    for age, path in enumerate(reversed(paths)):
        used = time.time() - 7200 - age
        os.utime(path, (used, used))
    assert cache.get(keys[0]) is not None  # the oldest is used again
    gone = cache.trim()
    assert gone > 0
    assert cache.get(keys[0]) is not None
    assert cache.get(keys[1]) is None
    assert cache.get(keys[5]) is not None
    assert sum(p.stat().st_size for p in tmp_path.rglob("*.flac")) <= 20_000


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path) -> None:
    # A limit on the size of files is what a full disk looks like to the writer.
    script = f"""
import resource, signal
from pathlib import Path
import numpy as np
from data_build.clip_cache import ClipCache
from soundflow.errors import UserError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, 2_000))
noise = np.random.default_rng(3).uniform(-0.5, 0.5, 4000).astype(np.float32)
try:
    ClipCache(Path({str(tmp_path)!r})).put("cd" * 20, noise)
except UserError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert "the disk is full" in done.stdout
    assert not list(tmp_path.rglob("*.flac")) + list(tmp_path.rglob("*.partial"))
    assert ClipCache(tmp_path).get("cd" * 20) is None


def test_impossible_samples_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError):
        ClipCache(tmp_path).put("ef" * 20, np.array([0.0, 2.0], np.float32))
    with pytest.raises(UserError, match="positive"):
        ClipCache(tmp_path, limit_bytes=0)
