"""What the first update costs over data in a store: parts of shards against whole shards.

    python -m tests.benchmarks.bench_store [N_SHARDS]

First, what reading a stream of a folder costs with the sidecar of its shard, and after it. Then:
Streams of 10 s of noise, 25 a shard, behind HTTP on this machine that answers 20 ms late. An update
draws 64 streams at random, as training does. Baseline: every shard that the update draws from is
fetched whole, all of them at once. Takes about a minute.
"""

from __future__ import annotations

import os
import platform
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import fsspec
import numpy as np

from soundflow.shards import reader
from soundflow.shards.reader import ShardSet
from soundflow.shards.schema import StreamSample
from soundflow.shards.writer import write_index, write_shard
from soundflow.text.presets import stream_spec
from soundflow.text.tiny import tiny_tokenizer
from tests.soundflow.conftest import tone_stream
from tests.soundflow.shards.http_store import HttpStore, http_store

SIDECARS, TRIES = (100, 1000), 5
A_SHARD, CHUNKS, AN_UPDATE, LATE_S = 25, 25, 64, 0.02


def main(n_shards: int) -> None:
    print(f"{platform.processor() or platform.machine()}; {n_shards} shards")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SOUNDFLOW_CACHE"] = f"{folder}/cache"
        write(Path(folder) / "train", n_shards)
        for n in SIDECARS:
            sidecar(Path(folder) / f"of{n}", n)
        with http_store(Path(folder)) as store:
            store.delay_s = LATE_S
            measure(store)


def sidecar(folder: Path, n_streams: int) -> None:
    spec, stream = stream_spec(tiny_tokenizer()), tone_stream(0, 2)
    records = [replace(stream.record, id=f"stream{n:06d}") for n in range(n_streams)]
    streams = [replace(stream, record=record) for record in records]
    write_index(folder, spec, [write_shard(folder, 0, "key", streams, spec)])
    first: list[float] = []
    later: list[float] = []
    for _ in range(TRIES):
        split = ShardSet(folder)
        for times in (first, later):
            begun = time.process_time()
            split.read(n_streams // 2)
            times.append(time.process_time() - begun)
        reader._load_sidecar.cache_clear()
    print(f"{n_streams} streams a shard: {1e3 * min(first):.2f} ms the first, "
          f"{1e3 * min(later):.2f} ms each after it")  # fmt: skip


def write(folder: Path, n_shards: int) -> None:
    spec = stream_spec(tiny_tokenizer())
    streams: list[StreamSample] = [tone_stream(seed, CHUNKS) for seed in range(A_SHARD)]
    shards = [write_shard(folder, n, str(n), streams, spec) for n in range(n_shards)]
    write_index(folder, spec, shards)


def measure(store: HttpStore) -> None:
    split = ShardSet(f"{store.url}/train")
    drawn = np.random.default_rng(0).permutation(len(split))[:AN_UPDATE].tolist()
    at_once = _timed(store, "parts, fetched together", lambda: _read(split, drawn, fetch=True))
    _timed(store, "the same again, from the cache", lambda: _read(split, drawn, fetch=True))
    other = np.random.default_rng(0).permutation(len(split))[AN_UPDATE : 2 * AN_UPDATE].tolist()
    _timed(store, "parts, one after another", lambda: _read(split, other, fetch=False))
    names = sorted({f"{position // A_SHARD:06d}.tar" for position in drawn})
    web = fsspec.filesystem("http")
    urls = [f"{store.url}/train/{name}" for name in names]
    whole = _timed(store, f"{len(names)} whole shards together", lambda: web.cat(urls))
    print(f"whole shards: {whole[0] / at_once[0]:.1f} x the bytes, {whole[1] / at_once[1]:.1f} x "
          "the time of parts")  # fmt: skip


def _read(split: ShardSet, positions: list[int], *, fetch: bool) -> None:
    if fetch:
        split.fetch(positions)
    for position in positions:
        split.read(position)


def _timed(store: HttpStore, what: str, work: object) -> tuple[int, float]:
    before, begun = store.sent, time.perf_counter()
    work()  # type: ignore[operator]
    took, sent = time.perf_counter() - begun, store.sent - before
    print(f"{what:34} {took:7.2f} s  {sent / 1e6:8.1f} MB")
    return sent, took


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
