"""The live engine against its bars: one table, every row with what it is compared to.

    python -m tests.benchmarks.bench_live [PART ...] [--hours 8]

Random weights, of the quickstart's size where no other is named, on one core. Costs are CPU time of
the worker's thread, so that other work on the machine does not count; schedules are simulated with
the costs measured.

    agreement     decisions and tokens of 16 sessions together against each alone
    overhead      a decode step of the engine over transformers' forward and head, batch 1 and 16
    fifo          latency and stalls while replies of 50 to 200 tokens are spoken, against a
                  session that answers every chunk in turn and whose encoder waits for its decoder
    host          CPU time of a chunk of one of 256 sessions around a model that is left out, which
                  is the host's part beside a GPU; kernels that a pass of the 3B shape starts
    sessions      how many keep up with real time in ragged batches, against a loop of single
                  sessions, with two sizes of models in the faster precision (10 minutes)
    cores         the same on two cores by the clock on the wall: the machine must be quiet
                  (12 minutes)
    chunks        cost at 5 min, 1 h and the end of a session over that at 10 s; the worst chunk;
                  memory (8 h take about 7 minutes)
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch

from inference.hardware import hardware
from tests.benchmarks.live.chunks import chunk_costs
from tests.benchmarks.live.fifo import fifo
from tests.benchmarks.live.host import host
from tests.benchmarks.live.sessions import on_one_core, on_two_cores, open_sessions
from tests.benchmarks.live.steps import agreement, overhead
from tests.benchmarks.live.table import LIMIT_POSITIONS, head, make_engine
from tests.inference.engines import make_engine as smallest_engine

GPU_POSITIONS = 2048  # what `bench_gpu_live` remembers: about a minute


def main() -> None:
    torch.set_num_threads(1)
    engine = make_engine()
    parts: dict[str, Callable[[float], None]] = {
        "agreement": lambda hours: agreement(engine),
        "overhead": lambda hours: overhead(engine),
        "fifo": lambda hours: fifo(smallest_engine(max_positions=LIMIT_POSITIONS)),
        "host": lambda hours: host(smallest_engine(max_positions=GPU_POSITIONS), open_sessions),
        "sessions": lambda hours: on_one_core(),
        "cores": lambda hours: on_two_cores(),
        "chunks": lambda hours: chunk_costs(engine, hours),
    }
    parser = argparse.ArgumentParser()
    parser.add_argument("parts", nargs="*", default=[*parts])
    parser.add_argument("--hours", type=float, default=8.0)
    arguments = parser.parse_args()
    head(f"{hardware()}; a memory of {LIMIT_POSITIONS} positions")
    for part in arguments.parts:
        parts[part](arguments.hours)


if __name__ == "__main__":
    main()
