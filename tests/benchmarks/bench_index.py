"""What it costs to open a split of millions of streams and to plan updates over it.

    python tests/benchmarks/bench_index.py [N_STREAMS]

Made-up lengths, no shards. Measured on 2 AVX2-only cores, 3 million rows (60 MB): opened in 1 ms,
the longest found in 2 ms; order of an epoch and 10 updates of 1024 rows in 0.1 s; 180 MB in all.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from soundflow.data.schedule import Schedule, micro_batches
from soundflow.shards.lengths import KINDS, LENGTHS_NAME, ROW, Lengths, open_lengths


def write_table(path: Path, n: int) -> None:
    rows = np.zeros(n, ROW)
    rows["tokens"] = np.random.default_rng(0).integers(50, 900, n)
    path.write_bytes(Lengths(rows, ()).to_bytes())


def main() -> None:
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 3_000_000
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / LENGTHS_NAME
        write_table(path, n)
        before_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        started = time.perf_counter()
        lengths = open_lengths(path, n, {"kinds": list(KINDS), "tasks": []})
        opened = time.perf_counter()
        longest = int(lengths.tokens.max())
        scanned = time.perf_counter()
        schedule = Schedule(0, n, 1024)
        for update in range(10):
            micro_batches(schedule.rows(update), lambda i: int(lengths.tokens[i]), 8)
        planned = time.perf_counter()
        peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{n} rows, {path.name} of {n * ROW.itemsize / 1e6:.0f} MB")
    print(f"open {1e3 * (opened - started):.1f} ms")
    print(f"longest ({longest} tokens) {1e3 * (scanned - opened):.1f} ms")
    print(f"order of an epoch and 10 updates of 1024 {1e3 * (planned - scanned):.0f} ms")
    print(f"memory {before_mb:.0f} MB before, {peak_mb:.0f} MB at the peak")


if __name__ == "__main__":
    main()
