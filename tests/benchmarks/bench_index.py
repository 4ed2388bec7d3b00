"""What it costs to open a split of millions of streams and to plan updates over it.

    python -m tests.benchmarks.bench_index [N_STREAMS]

Made-up lengths, no shards. Prints the time to open the tables, to plan the first update, and to
plan update 100 000 in a table that was just opened, as a resumed run does.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from soundflow.data import mixture
from soundflow.data.config import DataConfig, DataSource
from soundflow.data.mixture import Mixture
from soundflow.data.plan import plan_update
from soundflow.shards.lengths import (
    KINDS,
    LENGTHS_NAME,
    ROW,
    TURN,
    TURNS_NAME,
    Lengths,
    open_lengths,
    table_bytes,
)

BLOCK_TOKENS = 13
RESUMED_AT = 100_000
TRIES = 5
TURNS_A_STREAM = 5


def write_tables(folder: Path, n: int) -> dict[str, Any]:
    rows, turns = np.zeros(n, ROW), np.zeros(n * TURNS_A_STREAM, TURN)
    rows["chunks"] = rows["decisions"] = np.random.default_rng(0).integers(10, 60, n)
    rows["first_turn"] = np.arange(n) * TURNS_A_STREAM
    turns["reply_tokens"] = 8
    rows["reply_tokens"] = 8 * TURNS_A_STREAM
    rows["tokens"] = 5 + BLOCK_TOKENS * rows["chunks"] + rows["reply_tokens"]
    (folder / LENGTHS_NAME).write_bytes(table_bytes(rows))
    (folder / TURNS_NAME).write_bytes(table_bytes(turns))
    return {"kinds": list(KINDS), "tasks": ["made up"], "n_turns": len(turns)}


def first_plan_s(lengths: Lengths, config: DataConfig, update: int) -> tuple[float, float]:
    """Seconds until the first plan and for each of the ten after it."""
    mixture._order.cache_clear()
    begun = time.perf_counter()
    order = Mixture(0, (len(lengths),), (1.0,))
    plan_update(update, order, [lengths], config, BLOCK_TOKENS, world=32)
    first = time.perf_counter()
    for later in range(update + 1, update + 11):
        plan_update(later, order, [lengths], config, BLOCK_TOKENS, world=32)
    return first - begun, (time.perf_counter() - first) / 10


def main() -> None:
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 3_000_000
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        about = write_tables(folder, n)
        config = DataConfig((DataSource(folder),), global_batch_size=1024, row_tokens=8192)
        before_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        started = time.perf_counter()
        lengths = open_lengths(folder.joinpath, n, about)
        opened = time.perf_counter()
        longest = int(lengths.tokens.max())
        scanned = time.perf_counter()
        updates = (0, RESUMED_AT) * TRIES
        measured = [(at, first_plan_s(lengths, config, at)) for at in updates]
        times = {at: min(t for other, t in measured if other == at) for at in (0, RESUMED_AT)}
        peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        n_mb = sum(path.stat().st_size for path in folder.iterdir()) / 1e6
    print(f"{n} rows, tables of {n_mb:.0f} MB")
    print(f"open {1e3 * (opened - started):.1f} ms")
    print(f"longest ({longest} tokens) {1e3 * (scanned - opened):.1f} ms")
    for at, (first_s, later_s) in times.items():
        print(f"update {at} of 1024 streams for 32 ranks: {1e3 * first_s:.0f} ms with the order of "
              f"its epoch, {1e3 * later_s:.0f} ms each after it")  # fmt: skip
    print(f"memory {before_mb:.0f} MB before, {peak_mb:.0f} MB at the peak")


if __name__ == "__main__":
    main()
