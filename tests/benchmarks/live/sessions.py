"""How many sessions keep up with real time, together against a loop of single sessions."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator
from math import inf

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
from tests.benchmarks.live.play import SeededReplies, measured, play
from tests.benchmarks.live.table import chunks_of_noise, make_engine, say

MAY_MISS = 1e-3
DECISIONS = 1000  # at least, so that one late decision is not too many
SECONDS = 12.0  # of audio of every session, at least
CORES = 2


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
    table = engine.spec.tokens
    sampling = SamplingConfig(max_reply_tokens=40, max_repeats=None)
    sessions = [
        executor.open(SessionConfig(sampling=sampling), 0.0, SeededReplies(
            np.random.default_rng(i), 0.04, (10, 40), table.normal, table.text_end))
        for i in range(n)
    ]  # fmt: skip
    chunk_s = engine.spec.time.chunk_s
    audio = chunks_of_noise(engine, max(round(SECONDS / chunk_s), DECISIONS // n))
    events = play(executor, sessions, audio, measured(clock))
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


def most(keeps_up: Callable[[int], bool]) -> int:
    """The most sessions that keep up, within a twelfth."""
    low, high = 0, 16
    while keeps_up(high):
        low, high = high, 2 * high
    while high - low > max(1, low // 12):
        middle = (low + high) // 2
        low, high = (middle, high) if keeps_up(middle) else (low, middle)
    return low


def on_one_core(engine: Engine) -> None:
    """In CPU time, so that other work on the machine does not count."""
    warm_up(engine)
    found = {
        batched: most(
            lambda n, b=batched: missed(engine, n, time.thread_time, batched=b) <= MAY_MISS
        )
        for batched in (False, True)
    }
    report("one core, CPU time", found[True], found[False])


def on_two_cores(engine: Engine) -> None:
    """By the clock on the wall: one engine whose operators use both cores, against a process for
    each core whose sessions take turns.
    """
    torch.set_num_threads(CORES)
    warm_up(engine)
    together = most(lambda n: missed(engine, n, time.perf_counter, batched=True) <= MAY_MISS)
    torch.set_num_threads(1)
    with multiprocessing.get_context("spawn").Pool(CORES, torch.set_num_threads, (1,)) as pool:
        alone = most(lambda n: max(pool.map(one_by_one, [-(-n // CORES)] * CORES, 1)) <= MAY_MISS)
    report(f"{CORES} cores, wall clock", together, alone)


def one_by_one(n: int) -> float:
    engine = make_engine()
    warm_up(engine)  # every process anew
    return missed(engine, n, time.perf_counter, batched=False)


def report(where: str, together: int, alone: int) -> None:
    say(f"sessions in real time, {where}", f"{together} / {alone} = "
        f"{together / max(1, alone):.1f}x", ">= 4x, missed <= 0.1 %")  # fmt: skip
