"""How many sessions keep up with real time, together against a loop of single sessions.

Each hears a chunk every 0.4 s, and answers every 25th with 10 to 40 tokens: a token for each chunk.
Batching saves what a pass costs however little is in it: its calls, and the reading of weights. It
cannot save what grows with the sessions: the products, and the reading of their keys and values.
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

from inference.engine import Engine
from inference.events import Decided, ReplyEnded, ReplyText, SessionEvent
from inference.executor import Executor
from inference.limits import Limits
from inference.lockstep import warm_up
from inference.sampling import SamplingConfig
from inference.scheduler import Decode
from inference.session import SessionConfig
from soundflow.model.precision import DTYPES, choose_dtype, chunk_seconds
from soundflow.model.weights import cast_parameters
from tests.benchmarks.live.play import SeededReplies, measured, play
from tests.benchmarks.live.table import chunks_of_noise, make_engine, make_large_engine, say

MAY_MISS = 1e-3
SECONDS = 12.0  # of audio of every session
CORES = 2


@dataclass(frozen=True)
class Size:
    """A model to compare with, and how many sessions are tried first."""

    make: Callable[[], Engine]
    name: str
    first: int


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


class OneByOne(Executor):
    """The loop that everyone writes first: each session has passes of its own."""

    def _decode(self, work: Decode) -> None:
        one = Decode(work.listen[:1], ()) if work.listen else Decode((), work.speak[:1])
        super()._decode(one)
        if one.speak:  # the others in turn
            state = self._awake.pop(one.speak[0])
            self._awake[one.speak[0]] = state


def missed(engine: Engine, n: int, clock: Callable[[], float], *, batched: bool) -> float:
    """Share of decisions more than a chunk late, of ``n`` sessions."""
    limits = Limits(n) if batched else Limits(n, 1, 1)
    executor = Executor(engine, limits) if batched else OneByOne(engine, limits)
    audio = chunks_of_noise(engine, round(SECONDS / engine.spec.time.chunk_s))
    events = play(executor, open_sessions(executor, engine, n), audio, measured(clock))
    return late_share(events, engine)


def open_sessions(executor: Executor, engine: Engine, n: int) -> list[int]:
    """Sessions that answer every 25th chunk or so by 10 to 40 tokens."""
    table = engine.spec.tokens
    sampling = SamplingConfig(max_reply_tokens=40, max_repeats=None)
    return [
        executor.open(SessionConfig(sampling=sampling), 0.0, SeededReplies(
            np.random.default_rng(i), 0.04, (10, 40), table.normal, table.text_end))
        for i in range(n)
    ]  # fmt: skip


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


def most(enough: Callable[[int], bool], first: int) -> int:
    """The most sessions that keep up, within a twelfth."""
    low, high = 0, first
    while enough(high):
        low, high = high, 2 * high
    while high - low > max(1, low // 12):
        middle = (low + high) // 2
        low, high = (middle, high) if enough(middle) else (low, middle)
    return low


def on_one_core() -> None:
    """In CPU time, so that other work on the machine does not count."""
    for size in SIZES:
        engine = opened(size)
        together, alone = (
            most(partial(keeps_up, engine, time.thread_time, batched), size.first)
            for batched in (True, False)
        )
        report(f"{size.name} {engine.precision}, one core", f"{together}", together, alone)


def on_two_cores() -> None:
    """By the clock on the wall: one engine whose operators use both cores, or an engine on each,
    against a process on each core whose sessions take turns.
    """
    for size in SIZES:
        engine = opened(size)
        torch.set_num_threads(CORES)
        shared = most(partial(keeps_up, engine, time.perf_counter, True), size.first)
        torch.set_num_threads(1)
        context = multiprocessing.get_context("spawn")
        with context.Pool(CORES, _on_its_core, (size.make, DTYPES[engine.precision])) as pool:
            each, alone = (
                most(partial(each_keeps_up, pool, batched), CORES * size.first)
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
