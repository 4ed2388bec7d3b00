"""What decoding many streams at once gains, and whether memory grows with the hours.

    python tests/benchmarks/bench_evaluate.py [HOURS]

Random weights of the quickstart's size at a threshold that a few decisions reach. The baseline is
one live session after another. Both may use both cores, by the clock on the wall, so the machine
must be quiet; the ratio of CPU seconds of one thread, which other work hardly changes, is printed
too. Memory is the process's peak after 1 hour of streams and after all of them; 10 hours take about
4 minutes.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import torch

from inference.engine import engine_of
from inference.evaluate.systems.model import Model
from inference.evaluate.task import Item
from inference.latency import hardware
from inference.sampling import SamplingConfig
from inference.sources.recordings import Recording
from soundflow.model.facts import TrainingFacts
from soundflow.model.interaction import AudioInteractionModel
from soundflow.model.tiny import tiny_config
from soundflow.model.weights import Checkpoint
from soundflow.text.presets import stream_spec
from soundflow.text.tiny import tiny_tokenizer

STREAM_S = 10
CORES = 2


def open_noise(seed: int, n_samples: int) -> Recording:
    noise = np.random.default_rng(seed).normal(0, 0.05, n_samples).astype(np.float32)
    return Recording(str(seed), iter([noise]), pause_s=0.0)


def items(n: int, n_samples: int) -> list[Item[None]]:
    return [Item(str(k), n_samples, partial(open_noise, k, n_samples), None) for k in range(n)]


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def seconds(run: Callable[[], object], model: Model, clock: Callable[[], float]) -> float:
    model._encoded.clear()
    began = clock()
    run()
    return clock() - began


def main(hours: float) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    tokenizer = tiny_tokenizer()
    spec = stream_spec(tokenizer)
    net = AudioInteractionModel(tiny_config(), tokenizer.table).eval()
    engine = engine_of(Checkpoint(net, tokenizer, spec, TrainingFacts(2048)))
    sampling = SamplingConfig(temperature=0.0, max_reply_tokens=8)
    n_samples = spec.time.samples(STREAM_S)
    probe = dict(Model(engine, 1.0, sampling).run(items(4, n_samples)))
    p = np.array([p for o in probe.values() for p in o.p_response])
    model = Model(engine, float(np.quantile(p, 0.95)), sampling)
    some = items(32, n_samples)
    runs = (
        ("together", lambda: list(model.run(some))),
        ("one by one", lambda: [model.run_alone(item) for item in some]),
    )
    print(f"{hardware()}; {len(some) * STREAM_S} s of streams")
    for clock, threads in ((time.process_time, 1), (time.perf_counter, CORES)):
        torch.set_num_threads(threads)
        took = {name: min(seconds(run, model, clock) for _ in range(2)) for name, run in runs}
        together, alone = took.values()
        print(
            f"{threads} thread(s), {clock.__name__}: {alone:.2f} s one by one, {together:.2f} s "
            f"together, ratio {alone / together:.1f} (bar 6)",
            flush=True,
        )
    torch.set_num_threads(1)
    many = items(round(hours * 3600 / STREAM_S), n_samples)
    marks = {}
    for done, _ in enumerate(model.run(many), start=1):
        if done in (round(3600 / STREAM_S), len(many)):
            marks[done * STREAM_S / 3600] = peak_mb()
    print("peak memory: " + ", ".join(f"{m:.0f} MB after {h:g} h" for h, m in marks.items()))


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 10.0)
