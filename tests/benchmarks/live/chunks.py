"""What a chunk costs as a session grows old, and whether memory grows with it.

An old session and young ones, with memories that are full, hear a chunk each in turn: whatever else
the machine does slows both alike.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field

import numpy as np

from inference.engine import Engine
from inference.events import MemoryTrimmed
from inference.limits import Limits
from inference.sessions.config import SessionConfig
from inference.sessions.executor import Executor
from tests.benchmarks.live.table import LIMIT_POSITIONS, chunks_of_noise, say

# So that a memory is full within 10 s; what a chunk costs depends on the positions remembered.
POSITIONS = LIMIT_POSITIONS // 2
YOUNG_CHUNKS = range(20, 40)  # 8 to 16 s
YOUNG_SESSIONS = 30
HOUR_CHUNKS = 9000


@dataclass
class Listener:
    """A session that hears chunks and never speaks."""

    engine: Engine
    audio: list[np.ndarray]
    chunks: int = 0
    trims: list[float] = field(default_factory=list)  # what chunks cost that trimmed the memory

    def __post_init__(self) -> None:
        self._executor = Executor(self.engine, Limits(max_sessions=1))
        config = SessionConfig(threshold=1.0, limit_positions=POSITIONS)
        self._session = self._executor.open(config)

    def hear(self) -> float:
        """CPU seconds of the next chunk."""
        trimmed = False
        began = time.thread_time()
        self._executor.push(self._session, self.audio[self.chunks % len(self.audio)])
        while (tick := self._executor.tick(0.0)).work is not None:
            trimmed |= any(isinstance(e, MemoryTrimmed) for _, e in tick.events)
        cost = time.thread_time() - began
        self.chunks += 1
        if trimmed:
            self.trims.append(cost)
        return cost


def against_young(old: Listener) -> tuple[float, float]:
    """A chunk of the old session over one of young sessions, and the seconds of the latter."""
    costs: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(YOUNG_SESSIONS):
        young = Listener(old.engine, old.audio)
        while young.chunks < YOUNG_CHUNKS.start:
            young.hear()
        while young.chunks < YOUNG_CHUNKS.stop:
            costs[False].append(young.hear())
            costs[True].append(old.hear())
    return typical(costs[True]) / typical(costs[False]), typical(costs[False])


def typical(costs: list[float]) -> float:
    """Mean without the dearest twentieth, which other work on the machine makes."""
    return float(np.mean(np.sort(costs)[: round(0.95 * len(costs))]))


def chunk_costs(engine: Engine, hours: float) -> None:
    old = Listener(engine, chunks_of_noise(engine, 64))
    worst, early_mb, end = 0.0, 0.0, round(hours * HOUR_CHUNKS)
    marks = {750: "5 min", HOUR_CHUNKS: "1 h", end: f"{hours:g} h"}
    while old.chunks < end:
        cost = old.hear()
        worst = max(worst, cost if old.chunks > 5 else 0.0)  # without what is loaded on first use
        if old.chunks >= min(1500, end // 2) and not early_mb:
            early_mb = resident_mb()
        if old.chunks == end:
            now_mb = resident_mb()
        if old.chunks in marks:
            ratio, young_s = against_young(old)
            say(f"chunk at {marks[old.chunks - YOUNG_SESSIONS * len(YOUNG_CHUNKS)]} / at 10 s",
                f"{ratio:.3f} of {1e3 * young_s:.2f} ms", "1.00 +- 0.05")  # fmt: skip
    say("worst chunk, memory trimmed in it or not", f"{1e3 * worst:.1f} ms", "400 ms")
    say("chunks in which the memory was trimmed", f"{100 * len(old.trims) / old.chunks:.1f} %, "
        f"{1e3 * float(np.median(old.trims)):.2f} ms", "")  # fmt: skip
    say(f"memory after {hours:g} h / after 10 min", f"{now_mb / early_mb:.4f} of {early_mb:.0f} MB",
        "1.00 +- 0.02")  # fmt: skip


def resident_mb() -> float:
    with open("/proc/self/statm") as file:  # noqa: PTH123 - not a regular file
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
