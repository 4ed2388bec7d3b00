"""How many sessions keep up with real time, together against one loop a session.

Each hears a chunk every 0.4 s, and answers every 25th with 10 to 40 tokens: a token for each chunk.
A loop answers each of its chunks before it takes the next (`Lockstep`); the loops take turns.
Batching saves what a pass costs however little is in it: its calls, and the reading of weights. It
cannot save what grows with the sessions: the products, and the reading of their keys and values.
How much that is stands in a row of its own: what batching could save at most. The rest of the
difference is what loops lose by waiting for the replies of others.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from math import inf
from multiprocessing.pool import Pool

import numpy as np
import torch

from inference.decoder.sampling import SamplingConfig
from inference.engine import Engine
from inference.events import Decided, ReplyEnded, ReplyText, SessionEvent
from inference.limits import Limits
from inference.sessions.config import SessionConfig
from inference.sessions.executor import Executor
from inference.sessions.lockstep import Lockstep, warm_up
from soundflow.model.precision import DTYPES, choose_dtype, chunk_seconds
from soundflow.model.weights import cast_parameters
from tests.benchmarks.live.host import costs
from tests.benchmarks.live.play import SeededReplies, SimulatedClock, measured, play, play_loops
from tests.benchmarks.live.table import chunks_of_noise, make_engine, make_large_engine, say

MAY_MISS = 1e-3
SECONDS = 12.0  # of audio of every session
CORES = 2
WALL_TRIES = 2


@dataclass(frozen=True)
class Size:
    """A model to compare with, and how many sessions are tried first."""

    make: Callable[[], Engine]
    name: str
    first: int


CONFIG = SessionConfig(sampling=SamplingConfig(max_reply_tokens=40, max_repeats=None))
SIZES = (Size(make_engine, "2.5 M", 64), Size(make_large_engine, "96 M", 4))


def opened(size: Size) -> Engine:
    """Warm, in the precision that is the faster one here."""
    engine = size.make()
    dtype = choose_dtype("auto", "cpu", lambda d: _seconds_in(engine, d))
    cast_parameters(engine.model, dtype)
    warm_up(engine)
    return engine


def _seconds_in(engine: Engine, dtype: torch.dtype) -> float:
    cast_parameters(engine.model, dtype)
    return chunk_seconds(engine.model, engine.spec)


def missed(engine: Engine, n: int, clock: Callable[[], float], *, batched: bool) -> float:
    """Share of decisions more than a chunk late, of ``n`` sessions."""
    audio = chunks_of_noise(engine, round(SECONDS / engine.spec.time.chunk_s))
    if batched:
        executor = Executor(engine, Limits(n))
        sessions = open_sessions(executor, engine, n)
        return late_share(play(executor, sessions, audio, measured(clock)), engine)
    simulated = SimulatedClock(clock)
    loops = [Lockstep(engine, CONFIG, replies(engine, i), simulated) for i in range(n)]
    return late_share(play_loops(loops, audio, simulated), engine)


def open_sessions(executor: Executor, engine: Engine, n: int) -> list[int]:
    return [executor.open(CONFIG, 0.0, replies(engine, i)) for i in range(n)]


def replies(engine: Engine, seed: int) -> SeededReplies:
    """To every 25th chunk or so, 10 to 40 tokens."""
    table, rng = engine.spec.tokens, np.random.default_rng(seed)
    return SeededReplies(rng, 0.04, (10, 40), table.normal, table.text_end)


def late_share(events: Mapping[int, list[SessionEvent]], engine: Engine) -> float:
    """Share of the decisions of all sessions that came more than a chunk late."""
    chunk_s = engine.spec.time.chunk_s
    return float(np.mean([s > chunk_s for one in events.values() for s in waits_s(one)]))


def waits_s(events: list[SessionEvent]) -> Iterator[float]:
    """How long decisions of one session took. What arrives during a reply is decided on after it;
    what is answered by silence although nothing was said is never decided on.
    """
    spoke_until_s = 0.0
    for event in events:
        if isinstance(event, Decided):
            in_reply = event.arrived_wall_s < spoke_until_s
            if not event.stale:
                yield event.wall_s - max(event.arrived_wall_s, spoke_until_s)
            elif not in_reply:
                yield inf
        elif isinstance(event, ReplyText | ReplyEnded):
            spoke_until_s = event.wall_s


def keeps_up(engine: Engine, clock: Callable[[], float], batched: bool, n: int) -> bool:
    return missed(engine, n, clock, batched=batched) <= MAY_MISS


def each_keeps_up(pool: Pool, batched: bool, n: int) -> bool:
    """An equal part of ``n`` sessions in each process of the pool."""
    parts = [(-(-n // CORES), batched)] * CORES
    return bool(max(pool.starmap(_missed_of_part, parts, 1)) <= MAY_MISS)


def most(enough: Callable[[int], bool], first: int, tries: int = 1) -> int:
    """The most sessions that keep up, within a twelfth.

    Args:
        tries: they keep up if they do in one of so many; on the wall's clock, a moment in which
            the machine does something else makes all of them late.
    """

    def can(n: int) -> bool:
        return any(enough(n) for _ in range(tries))

    low, high = 0, first
    while can(high):
        low, high = high, 2 * high
    while high - low > max(1, low // 12):
        middle = (low + high) // 2
        low, high = (middle, high) if can(middle) else (low, middle)
    return low


def most_that_batching_saves(engine: Engine, size: Size) -> None:
    """A chunk and a token of one session alone, against what another one adds to a pass."""
    few, many = size.first // 4 or 1, size.first
    alone, some, all_of_them = (sum(costs(engine, n)) for n in (1, few, many))
    added = (many * all_of_them - few * some) / (many - few)
    say(f"a chunk and a token, {size.name}, alone / one more",
        f"{1e3 * alone:.2f} ms / {1e3 * added:.2f} ms = {alone / added:.1f}x",
        "batching saves at most")  # fmt: skip


def on_one_core() -> None:
    """In CPU time, so that other work on the machine does not count."""
    for size in SIZES:
        engine = opened(size)
        most_that_batching_saves(engine, size)
        together, alone = (
            most(partial(keeps_up, engine, time.thread_time, batched), size.first)
            for batched in (True, False)
        )
        report(f"{size.name} {engine.precision}, one core", f"{together}", together, alone)


def on_two_cores() -> None:
    """By the clock on the wall: one engine whose operators use both cores, or an engine on each,
    against a process on each core whose loops take turns.
    """
    for size in SIZES:
        engine = opened(size)
        torch.set_num_threads(CORES)
        shared = most(partial(keeps_up, engine, time.perf_counter, True), size.first, WALL_TRIES)
        torch.set_num_threads(1)
        context = multiprocessing.get_context("spawn")
        with context.Pool(CORES, _on_its_core, (size.make, DTYPES[engine.precision])) as pool:
            each, alone = (
                most(partial(each_keeps_up, pool, batched), CORES * size.first, WALL_TRIES)
                for batched in (True, False)
            )
        found = f"{shared} (one process), {each} (two)"
        report(f"{size.name} {engine.precision}, {CORES} cores", found, max(shared, each), alone)


_engine: Engine | None = None  # of a process of the pool


def _on_its_core(make: Callable[[], Engine], dtype: torch.dtype) -> None:
    global _engine
    torch.set_num_threads(1)
    _engine = make()
    cast_parameters(_engine.model, dtype)
    warm_up(_engine)


def _missed_of_part(n: int, batched: bool) -> float:
    assert _engine is not None
    return missed(_engine, n, time.perf_counter, batched=batched)


def report(where: str, found: str, together: int, alone: int) -> None:
    say(f"sessions, {where}", f"{found} / {alone} = {together / max(1, alone):.1f}x",
        ">= 4x, missed <= 0.1 %")  # fmt: skip
