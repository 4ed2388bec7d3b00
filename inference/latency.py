"""Real-time performance (timing protocol 1.6).

A session that is fed a file computes as fast as it can. From the time that each chunk took, the
times of the same session fed in real time follow: a chunk arrives every 0.4 s and waits while the
one before it is still being processed::

    arrives    |0      |1      |2      |3
    works       ▓▓      ▓▓▓▓▓▓▓▓▓▓▓ ▓▓  ▓▓
    decides       ↑             ↑ ↑    ↑           decision - arrival = latency; > 0.4 s = missed
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from inference.events import Decided, ReplyEnded, ReplyStarted, ReplyText, SessionEvent
from soundflow.protocol.spec import StreamSpec
from soundflow.protocol.timebase import TimeBase

SPEECH_TOKENS_A_SECOND = 4.0


@dataclass(frozen=True)
class ChunkCost:
    """Compute time of one chunk in seconds: up to its decision, then for each reply token.

    Attributes:
        latency_s: from when it was complete to its decision, waiting for earlier work included.
    """

    decide_s: float
    token_s: tuple[float, ...] = ()
    latency_s: float = 0.0

    @property
    def total_s(self) -> float:
        return self.decide_s + sum(self.token_s)


@dataclass(frozen=True)
class Latency:
    """None where there is nothing to measure.

    Attributes:
        first_chunk_s: end of the first chunk in the audio to its decision.
        decision_p50_s, decision_p95_s: the same over all chunks.
        yield_p50_s, yield_p95_s: the same over the first chunk decided after each reply: how long
            what was said while it spoke had to wait.
        missed_deadlines: share of chunks decided more than a chunk after they arrived.
        real_time_factor: compute time over audio duration; below 1 is faster than real time.
        stall: share of speaking time with nothing to emit, at 4 tokens a second of speech.
        hardware: the machine, the threads and the library that the figures belong to.
    """

    first_chunk_s: float | None
    decision_p50_s: float | None
    decision_p95_s: float | None
    yield_p50_s: float | None
    yield_p95_s: float | None
    missed_deadlines: float | None
    real_time_factor: float | None
    stall: float | None
    peak_memory_mb: float
    hardware: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


class CostMeter:
    """Compute time of each chunk, from the wall clock of the events of one session in order.

    Work begins when a chunk is complete or, if that is later, when the work before it ends.
    """

    def __init__(self) -> None:
        self.costs: list[ChunkCost] = []
        self._last_s = 0.0

    def add(self, event: SessionEvent) -> None:
        match event:
            case Decided():
                begins_s = max(event.arrived_wall_s, self._last_s)
                latency_s = event.wall_s - event.arrived_wall_s
                self.costs.append(ChunkCost(event.wall_s - begins_s, latency_s=latency_s))
            case ReplyStarted() | ReplyText() | ReplyEnded() if self.costs:
                cost = self.costs[-1]
                token_s = (*cost.token_s, event.wall_s - self._last_s)
                self.costs[-1] = replace(cost, token_s=token_s)
            case _:  # trimming the memory belongs to the token or the decision that follows
                return
        self._last_s = event.wall_s


def chunk_costs(events: Iterable[SessionEvent]) -> list[ChunkCost]:
    """Compute time of each chunk of one session."""
    meter = CostMeter()
    for event in events:
        meter.add(event)
    return meter.costs


def measure(sessions: Sequence[Sequence[ChunkCost]], spec: StreamSpec, hardware: str) -> Latency:
    """Replays the costs of every session, computed on ``hardware``, against the clock."""
    time = spec.time
    look_ahead_s = time.seconds(spec.look_ahead_samples)
    first: list[float] = []
    waits: list[float] = []
    yields: list[float] = []
    for session in sessions:
        free_s = 0.0
        for index, cost in enumerate(session):
            arrives_s = (index + 1) * time.chunk_s
            begins_s = max(arrives_s + look_ahead_s, free_s)
            waits.append(begins_s + cost.decide_s - arrives_s)
            if index == 0:
                first.append(waits[-1])
            elif session[index - 1].token_s:
                yields.append(waits[-1])
            free_s = begins_s + cost.total_s
    costs = [c for session in sessions for c in session]
    return _summary(first, waits, yields, costs, time, hardware)


def measure_live(costs: Sequence[ChunkCost], time: TimeBase, hardware: str) -> Latency:
    """The figures of a session in real time, as they happened."""
    waits = [cost.latency_s for cost in costs]
    yields = [cost.latency_s for before, cost in pairwise(costs) if before.token_s]
    return _summary(waits[:1], waits, yields, costs, time, hardware)


def _summary(
    first: Sequence[float],
    waits: Sequence[float],
    yields: Sequence[float],
    costs: Sequence[ChunkCost],
    time: TimeBase,
    hardware: str,
) -> Latency:
    token_s = [s for cost in costs for s in cost.token_s]
    stalled = sum(max(0.0, s - 1.0 / SPEECH_TOKENS_A_SECOND) for s in token_s)
    spoken = sum(max(s, 1.0 / SPEECH_TOKENS_A_SECOND) for s in token_s)
    work_s = sum(cost.total_s for cost in costs)
    audio_s = len(costs) * time.chunk_s
    return Latency(
        first_chunk_s=float(np.median(first)) if first else None,
        decision_p50_s=float(np.quantile(waits, 0.50)) if waits else None,
        decision_p95_s=float(np.quantile(waits, 0.95)) if waits else None,
        yield_p50_s=float(np.quantile(yields, 0.50)) if yields else None,
        yield_p95_s=float(np.quantile(yields, 0.95)) if yields else None,
        missed_deadlines=float(np.mean(np.array(waits) > time.chunk_s)) if waits else None,
        real_time_factor=work_s / audio_s if audio_s else None,
        stall=stalled / spoken if spoken else None,
        peak_memory_mb=_peak_memory_mb(),
        hardware=hardware,
    )


def _peak_memory_mb() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024.0**2 if sys.platform == "darwin" else 1024.0)
