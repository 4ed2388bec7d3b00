"""What the length of a chunk costs and buys: the shape of the paper's table, on a tiny model.

    python -m tests.benchmarks.bench_chunk [SECONDS]

Random weights of the quickstart's size hear noise and never speak. For an event that ends anywhere
in a chunk, the first decision that can know of it comes

    wait      until the chunk is over: half a chunk on average, a whole one at worst
    + 2.5 ms  look-ahead of the last mel frame
    + compute until the decision

Printed in milliseconds, with the positions that a second of audio takes in the context. Compute is
the CPU time of one thread, so that other work on the machine does not count.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from inference.engine import load_engine
from inference.sessions.config import SessionConfig
from inference.sessions.lockstep import Lockstep
from soundflow.model.facts import TrainingFacts
from soundflow.model.interaction import AudioInteractionModel
from soundflow.model.weights import save_checkpoint
from soundflow.protocol import layout
from soundflow.protocol.stream_config import StreamConfig
from soundflow.text.presets import stream_spec
from soundflow.text.tiny import tiny_tokenizer
from tests.benchmarks.tiny_model import tiny_config

CHUNKS_S = (0.08, 0.2, 0.4, 0.6, 0.8)


def compute_s(config: StreamConfig, seconds: float) -> tuple[float, float]:
    """Median and 95th percentile of the CPU time from a chunk to its decision."""
    tokenizer = tiny_tokenizer()
    spec = stream_spec(tokenizer, config)
    torch.manual_seed(0)
    model = AudioInteractionModel(tiny_config(), spec.tokens)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model"
        save_checkpoint(path, model, tokenizer, spec, TrainingFacts(2048))
        session = Lockstep(load_engine(path), SessionConfig(threshold=1.0))
    rng = np.random.default_rng(0)
    took: list[float] = []
    for _ in range(round(seconds / spec.time.chunk_s)):
        packet = 0.1 * rng.standard_normal(spec.time.chunk_samples).astype(np.float32)
        started = time.thread_time()
        session.push(packet)
        took.append(time.thread_time() - started)
    steady = took[2:]  # the first call loads, and ends before its look-ahead is there
    return float(np.median(steady)), float(np.quantile(steady, 0.95))


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 24.0
    torch.set_num_threads(1)
    columns = ("chunk", "positions a second", "wait", "compute p50", "p95", "mean", "at worst")
    print("| " + " | ".join(columns) + " |\n" + "|---" * len(columns) + "|")
    for chunk_s in CHUNKS_S:
        config = StreamConfig(chunk_s=chunk_s)
        base, front_end = config.time, config.front_end
        table = tiny_tokenizer().table
        block = layout.listen(table, base.slots_per_chunk) + layout.silence(table)
        ahead_s = base.seconds(front_end.window_samples // 2 - base.hop_samples)
        typical_s, slow_s = compute_s(config, seconds)
        figures = [
            chunk_s / 2,
            typical_s,
            slow_s,
            chunk_s / 2 + ahead_s + typical_s,
            chunk_s + ahead_s + slow_s,
        ]
        cells = " | ".join(f"{1e3 * s:.0f} ms" for s in figures)
        print(f"| {chunk_s:g} s | {len(block) / chunk_s:.1f} | {cells} |")


if __name__ == "__main__":
    main()
