"""Milliseconds a token and sessions in real time of the 3B shape in bfloat16.

    python -m tests.benchmarks.bench_gpu_live          # needs a CUDA device with 80 GB
    python -m tests.benchmarks.bench_gpu_live tiny     # the same code on whatever is here

Random weights. The clock is simulated and moves by what each piece of work took: sessions of noise
in real time, their chunks evenly spread, 4 % of them answered by 10 to 40 tokens.
"""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from inference.decoder.dialogue_decoder import Step
from inference.decoder.sampling import SamplingConfig
from inference.engine import Engine
from inference.limits import Limits
from inference.passes.model_runner import ModelRunner, Request
from inference.passes.sampler import Draw
from inference.sessions.executor import Executor, Tick
from inference.sessions.lockstep import warm_up
from soundflow.model.config import ModelConfig
from soundflow.model.interaction import AudioInteractionModel
from soundflow.model.weights import cast_parameters
from soundflow.text.presets import stream_spec
from soundflow.text.tiny import tiny_tokenizer
from tests.benchmarks.live.play import measured, play
from tests.benchmarks.live.sessions import late_share, open_sessions
from tests.benchmarks.live.table import chunks_of_noise, head, say
from tests.benchmarks.tiny_model import tiny_config

LIMIT_POSITIONS = 2048  # about a minute
CONTEXT = 1000
BATCHES = (1, 16, 64)
SESSIONS = (64, 128, 256, 384)
CHUNKS = 25


def make_engine(*, tiny: bool, device: str) -> Engine:
    tokenizer = tiny_tokenizer()
    spec = stream_spec(tokenizer)
    if not tiny:
        spec = replace(spec, tokens=replace(spec.tokens, vocab_size=151_936))
    torch.manual_seed(0)
    with torch.device(device):
        model = AudioInteractionModel(tiny_config() if tiny else ModelConfig(), spec.tokens).eval()
    if device == "cuda":
        cast_parameters(model, torch.bfloat16)
    return Engine(model, tokenizer, spec, "Listen.", 0.5, LIMIT_POSITIONS)


def token_ms(engine: Engine, batch: int) -> float:
    """Of a pass that gives each of ``batch`` replies its next token."""
    runner = ModelRunner(engine, batch)
    prefix = tuple([300] * CONTEXT)
    rows = [runner.prefill(prefix) for _ in range(batch)]
    draw = Draw(SamplingConfig(), 0.5, False)
    requests = [Request(row, Step((300,), (), (), (0,)), draw) for row in rows]
    times = []
    for _ in range(100):
        began = time.perf_counter()
        runner.run(requests)
        times.append(time.perf_counter() - began)
        for row in rows:
            runner.pool.rollback(row, CONTEXT)
    return 1e3 * float(np.median(times[40:]))


def main() -> None:
    tiny = "tiny" in sys.argv[1:]
    if not (tiny or torch.cuda.is_available()):
        print("skipped: needs a CUDA device; `tiny` runs the same code here")
        return
    device = "cuda" if torch.cuda.is_available() else "cpu"
    engine = make_engine(tiny=tiny, device=device)
    name = torch.cuda.get_device_name() if device == "cuda" else "CPU"
    head(f"{name}, {engine.model.parameter_count() / 1e9:.2f} G parameters, {engine.precision}, "
         f"a memory of {LIMIT_POSITIONS} positions")  # fmt: skip
    for batch in BATCHES:
        bar = "<= 12 ms" if batch == 1 else ""
        say(f"a token of {batch} replies", f"{token_ms(engine, batch):.1f} ms", bar)
    warm_up(engine)
    for n in SESSIONS:
        late, work = in_real_time(engine, n)
        say(f"{n} sessions in real time", f"{late:.2%} late, busy {sum(work.values()):.0%}",
            "<= 0.1 % late" if n == 256 else "")  # fmt: skip
        say("", ", ".join(f"{kind} {share:.0%}" for kind, share in work.items()), "")
        if late > 0.2:
            break


def in_real_time(engine: Engine, n: int) -> tuple[float, dict[str, float]]:
    """Share of decisions more than a chunk late, and shares of the time by kind of work.

    The audio is played twice: in the first, memories grow.
    """
    executor = Executor(engine, Limits(n))
    began = time.perf_counter()
    executor.record_ahead()
    say(f"passes of {n} sessions are recorded", f"{time.perf_counter() - began:.0f} s", "")
    sessions, chunk_s = open_sessions(executor, engine, n), engine.spec.time.chunk_s
    audio = chunks_of_noise(engine, CHUNKS)
    shares: dict[str, float] = defaultdict(float)
    clock = measured(time.perf_counter)

    def timed(work: Callable[[], Tick]) -> tuple[Tick, float]:
        tick, took = clock(work)
        if tick.work is not None:
            shares[type(tick.work).__name__] += took / (chunk_s * CHUNKS)
        return tick, took

    play(executor, sessions, audio, timed)
    shares.clear()
    events = play(executor, sessions, audio, timed)
    return late_share(events, engine), dict(shares)


if __name__ == "__main__":
    main()
