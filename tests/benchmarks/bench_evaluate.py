"""What decoding many streams at once gains, and whether memory grows with the hours.

    python -m tests.benchmarks.bench_evaluate [HOURS]

Random weights of the quickstart's size at a threshold that a few decisions reach, on streams of 5
to 15 s. The baseline is one live session after another. Both have one thread, or both two; by the
clock on the wall, for which the machine must be quiet, and by the CPU, which other work changes
less. Memory is the process's peak after 1 hour of streams and after all of them; 10 hours take
about 4 minutes, 0.2 hours one.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch

from inference.decoder.sampling import SamplingConfig
from inference.engine import engine_of
from inference.evaluate.systems.model import Model
from inference.evaluate.task import Item
from inference.hardware import hardware
from inference.sources.recordings import Recording
from soundflow.model.facts import TrainingFacts
from soundflow.model.interaction import AudioInteractionModel
from soundflow.model.weights import Checkpoint
from soundflow.protocol.timebase import TimeBase
from soundflow.text.presets import stream_spec
from soundflow.text.tiny import tiny_tokenizer
from tests.benchmarks.tiny_model import tiny_config

Float32 = npt.NDArray[np.float32]
SHORTEST_S, LONGEST_S = 5.0, 15.0
STREAM_S = (SHORTEST_S + LONGEST_S) / 2
SPLIT = 64


def items(n: int, time: TimeBase) -> list[Item[None]]:
    """Streams of noise; making it is no part of what is measured."""
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.05, time.samples(2 * LONGEST_S)).astype(np.float32)
    lengths = np.linspace(SHORTEST_S, LONGEST_S, n)
    rng.shuffle(lengths)
    found: list[Item[None]] = []
    for k, seconds in enumerate(lengths.tolist()):
        start, n_samples = int(rng.integers(time.samples(LONGEST_S))), time.samples(seconds)
        samples = noise[start : start + n_samples]

        def opened(name: str = str(k), samples: Float32 = samples) -> Recording:
            return Recording(name, iter([samples]), pause_s=0.0)

        found.append(Item(str(k), n_samples, opened, None))
    return found


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def spent(model: Model, run: Callable[[], object]) -> tuple[float, float]:
    """Seconds on the wall and of the CPU."""
    model._encoded.clear()
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - wall_s, time.process_time() - cpu_s


def main(hours: float) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    tokenizer = tiny_tokenizer()
    spec = stream_spec(tokenizer)
    net = AudioInteractionModel(tiny_config(), tokenizer.table).eval()
    engine = engine_of(Checkpoint(net, tokenizer, spec, TrainingFacts(2048)))
    sampling = SamplingConfig(temperature=0.0, max_reply_tokens=8)
    probe = dict(Model(engine, 1.0, sampling).run(items(4, spec.time)))
    p = np.array([p for o in probe.values() for p in o.p_response])
    model = Model(engine, float(np.quantile(p, 0.95)), sampling, at_once=32)
    some = items(SPLIT, spec.time)
    n_replies = sum(len(outcome.replies) for _, outcome in model.run(some))
    print(f"{hardware()}; {SPLIT} streams, {SPLIT * STREAM_S:.0f} s, {n_replies} replies")
    for threads in (1, 2):
        torch.set_num_threads(threads)
        pairs = [
            (
                spent(model, lambda: [model.run_alone(item) for item in some]),
                spent(model, lambda: list(model.run(some))),
            )
            for _ in range(2)
        ]
        for k, clock in enumerate(("wall", "CPU")):
            alone, together = (min(pair[way][k] for pair in pairs) for way in (0, 1))
            print(
                f"{threads} thread(s), {clock} time: {alone:.2f} s one by one, {together:.2f} s "
                f"{model.at_once} at once: {alone / together:.1f} times as fast (bar 6)",
                flush=True,
            )
    torch.set_num_threads(1)
    many = items(round(hours * 3600 / STREAM_S), spec.time)
    marks = {}
    for done, _ in enumerate(model.run(many), start=1):
        if done in (round(3600 / STREAM_S), len(many)):
            marks[done * STREAM_S / 3600] = peak_mb()
    print("peak memory: " + ", ".join(f"{m:.0f} MB after {h:g} h" for h, m in marks.items()))


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 10.0)
