"""Sessions in real time on a simulated clock: every piece of work moves it by what it took."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from inference.events import SessionEvent
from inference.executor import Executor, Tick
from inference.scheduler import Encode


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
    phases = np.random.default_rng(len(sessions)).permutation(len(sessions)) / len(sessions)
    arrivals = deque(
        sorted((chunk_s * (i + 1 + phase), s, i)
               for phase, s in zip(phases.tolist(), sessions, strict=True)
               for i in range(len(audio)))
    )  # fmt: skip
    now = 0.0

    def work() -> Tick:
        while arrivals and arrivals[0][0] <= now:
            at, session, i = arrivals.popleft()
            executor.push(session, audio[i], at)
        return executor.tick(now)

    while True:
        tick, took = timed(work)
        now += took
        for session, event in tick.events:
            # The end of the work, not its beginning.
            events[session].append(replace(event, wall_s=now))
        if tick.work is None:
            if not arrivals:
                return events
            now = max(now, arrivals[0][0])
