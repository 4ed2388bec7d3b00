"""Sessions in real time on a simulated clock: every piece of work moves it by what it took."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np

from inference.events import Decided, SessionEvent
from inference.sessions.executor import Executor, Tick
from inference.sessions.lockstep import Lockstep
from inference.sessions.scheduler import Encode


@dataclass
class SeededReplies:
    """Speaks at random chunks, so many tokens, whatever the model says."""

    rng: np.random.Generator
    odds: float
    tokens: tuple[int, int]
    normal: int
    text_end: int
    _left: int = 0

    def speaks(self, chunk: int, p_response: float) -> bool:
        self._left = int(self.rng.integers(*self.tokens))
        return bool(self.rng.random() < self.odds)

    def next_token(self, chunk: int, said: Sequence[int], sampled: int) -> int:
        if not said:
            return self.normal
        return self.text_end if len(said) > self._left else 300


# What a piece of work takes: runs it, and returns it with its seconds and events.
Timed = Callable[[Callable[[], Tick]], tuple[Tick, float]]


def measured(clock: Callable[[], float]) -> Timed:
    """What it took on a clock."""

    def timed(work: Callable[[], Tick]) -> tuple[Tick, float]:
        began = clock()
        tick = work()
        return tick, clock() - began

    return timed


def fixed(decode_s: float, encode_s: float) -> Timed:
    """Always the same."""

    def timed(work: Callable[[], Tick]) -> tuple[Tick, float]:
        tick = work()
        match tick.work:
            case None:
                return tick, 0.0
            case Encode():
                return tick, encode_s
            case _:
                return tick, decode_s

    return timed


def play(
    executor: Executor,
    sessions: list[int],
    audio: list[np.ndarray],
    timed: Timed,
    chunk_s: float = 0.4,
) -> dict[int, list[SessionEvent]]:
    """Feeds sessions in real time, their chunks evenly spread over the 0.4 s, in any order.

    Returns:
        The events of every session, with the simulated clock in ``wall_s``.
    """
    events: dict[int, list[SessionEvent]] = {s: [] for s in sessions}
    waiting = deque(_arrivals(len(sessions), len(audio), chunk_s))
    now = 0.0

    def work() -> Tick:
        while waiting and waiting[0][0] <= now:
            at, session, i = waiting.popleft()
            executor.push(sessions[session], audio[i], at)
        return executor.tick(now)

    while True:
        tick, took = timed(work)
        now += took
        for session, event in tick.events:
            # The end of the work, not its beginning.
            events[session].append(replace(event, wall_s=now))
        if tick.work is None:
            if not waiting:
                return events
            now = max(now, waiting[0][0])


class SimulatedClock:
    """Stands still except while something is timed.

    Args:
        real: what that takes is read from it.
    """

    def __init__(self, real: Callable[[], float]) -> None:
        self.now = 0.0
        self._real = real
        self._began: float | None = None

    def __call__(self) -> float:
        return self.now if self._began is None else self.now + self._real() - self._began

    @contextmanager
    def timing(self) -> Iterator[None]:
        self._began = self._real()
        yield
        self.now, self._began = self(), None


def play_loops(
    loops: Sequence[Lockstep], audio: list[np.ndarray], clock: SimulatedClock, chunk_s: float = 0.4
) -> dict[int, list[SessionEvent]]:
    """The same for sessions on ``clock`` that compute by themselves whatever they are pushed, one
    after the other.
    """
    events: dict[int, list[SessionEvent]] = {i: [] for i in range(len(loops))}
    for at, session, i in _arrivals(len(loops), len(audio), chunk_s):
        clock.now = max(clock.now, at)
        with clock.timing():
            happened = loops[session].push(audio[i])
        for event in happened:
            if isinstance(event, Decided):  # the loop itself knows when it took the chunk
                event = replace(event, arrived_wall_s=at)
            events[session].append(event)
    return events


def _arrivals(sessions: int, chunks: int, chunk_s: float) -> list[tuple[float, int, int]]:
    """When which chunk of which session is complete, in order."""
    phases = np.random.default_rng(sessions).permutation(sessions) / sessions
    return sorted(
        (chunk_s * (i + 1 + phase), session, i)
        for session, phase in enumerate(phases.tolist())
        for i in range(chunks)
    )
