"""Sessions of an executor on a simulated clock, and what has to hold of their memories."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count

import numpy as np

from inference.decoder.sampling import SamplingConfig
from inference.events import SessionEvent
from inference.sessions.executor import Executor
from inference.sessions.scheduler import Decode, Encode, Work
from soundflow.protocol import layout
from tests.inference.engines import make_engine

ENGINE = make_engine(max_positions=256)
SPEC, TABLE = ENGINE.spec, ENGINE.spec.tokens
GREEDY = SamplingConfig(temperature=0.0, max_reply_tokens=12)
CHUNK = SPEC.time.chunk_samples
LOOK_AHEAD = SPEC.look_ahead_samples


def noise(chunks: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    loud = np.repeat(rng.uniform(0.001, 0.3, 4 * chunks), CHUNK // 4)
    return (rng.standard_normal(len(loud)) * loud).astype(np.float32)


@dataclass
class Simulation:
    """Sessions on a simulated clock: what arrives when, and how long each kind of work takes."""

    executor: Executor
    encode_s: float = 0.02
    decode_s: float = 0.05
    now: float = 0.0
    check: Callable[[], None] = lambda: None
    events: dict[int, list[SessionEvent]] = field(default_factory=dict)
    works: list[Work | None] = field(default_factory=list)
    agenda: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    turns: Iterator[int] = field(default_factory=count)

    def at(self, when: float, act: Callable[[], None]) -> None:
        heapq.heappush(self.agenda, (when, next(self.turns), act))

    def run(self) -> None:
        while self.agenda or self.executor.sessions:
            while self.agenda and self.agenda[0][0] <= self.now:
                heapq.heappop(self.agenda)[2]()
            tick = self.executor.tick(self.now)
            self.works.append(tick.work)
            for session, event in tick.events:
                self.events.setdefault(session, []).append(event)
            self.check()
            if tick.work is None:
                if not self.agenda:
                    assert not self.executor.sessions, "sessions wait for what never comes"
                    return
                self.now = max(self.now, self.agenda[0][0])
            elif isinstance(tick.work, Encode):
                self.now += self.encode_s
            elif isinstance(tick.work, Decode):
                self.now += self.decode_s


def legal(ids: tuple[int, ...]) -> None:
    """Whatever is in a memory can be finished to a legal layout: the newest turn may be open."""
    closings = ([], [TABLE.keep_silence], [TABLE.text_end], [TABLE.normal, TABLE.text_end])
    for closing in closings:
        try:
            parsed = layout.parse_online(TABLE, SPEC.time.slots_per_chunk, [*ids, *closing])
        except ValueError:
            continue
        if all(turn.emotion for turn in parsed.turns):
            return
    raise AssertionError(f"not a legal layout: {ids}")
