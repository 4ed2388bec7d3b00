"""What the engine itself costs: everything around a model that is nearly nothing.

With a large model on a GPU this is what the CPU has to do meanwhile, for each session.
"""

from __future__ import annotations

import time

import numpy as np

from inference.engine import Engine
from inference.events import ReplyText
from inference.executor import Executor
from inference.limits import Limits
from inference.sampling import SamplingConfig
from inference.session import SessionConfig
from tests.benchmarks.live.play import SeededReplies
from tests.benchmarks.live.table import chunks_of_noise, say

CHUNKS = 24
REPLY_TOKENS = 20


def host(smallest: Engine) -> None:
    """All sessions hear a chunk at the same time; then all of them speak."""
    for n in (64, 256):
        chunk_s, token_s = costs(smallest, n)
        say(f"a chunk, everything included, {n} sessions", f"{1e3 * chunk_s:.3f} ms",
            "well below 1.5 ms")  # fmt: skip
        say(f"a reply token, {n} sessions that speak", f"{1e3 * token_s:.3f} ms", "")


def costs(engine: Engine, n: int) -> tuple[float, float]:
    """CPU seconds of a chunk and of a reply token, where ``n`` sessions do the same at once."""
    listening_s, _ = _rounds(engine, n, 0.0)
    speaking_s, tokens = _rounds(engine, n, 1.0)
    return listening_s / n, (speaking_s - listening_s) / max(1.0, tokens)


def _rounds(engine: Engine, n: int, odds: float) -> tuple[float, float]:
    """Median CPU seconds and mean number of tokens for a chunk of every session."""
    table = engine.spec.tokens
    executor = Executor(engine, Limits(n))
    sampling = SamplingConfig(max_reply_tokens=2 * REPLY_TOKENS, max_repeats=None)
    sessions = [
        executor.open(SessionConfig(sampling=sampling), 0.0, SeededReplies(
            np.random.default_rng(i), odds, (REPLY_TOKENS, REPLY_TOKENS + 1), table.normal,
            table.text_end))
        for i in range(n)
    ]  # fmt: skip
    spent, tokens = [], 0
    for chunk in chunks_of_noise(engine, CHUNKS):
        began = time.thread_time()
        for session in sessions:
            executor.push(session, chunk)
        while (tick := executor.tick(0.0)).work is not None:
            tokens += sum(isinstance(event, ReplyText) for _, event in tick.events)
        spent.append(time.thread_time() - began)
    return float(np.median(spent[CHUNKS // 4 :])), tokens / CHUNKS
