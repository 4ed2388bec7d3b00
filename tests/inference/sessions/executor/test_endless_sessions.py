"""Sessions that outgrow their memory."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Sequence
from functools import partial

import numpy as np
import pytest

from inference.decoder.policy import ForcedPolicy
from inference.decoder.sampling import SamplingConfig
from inference.events import Decided, MemoryTrimmed, ReplyEnded, SessionEnded
from inference.sessions.config import SessionConfig
from inference.sessions.executor import Executor
from inference.sessions.scheduler import Reanchor
from tests.inference.engines import remembered_ids
from tests.inference.sessions.executor.simulation import (
    ENGINE,
    GREEDY,
    TABLE,
    Simulation,
    legal,
    noise,
)


def test_a_reply_longer_than_the_memory_keeps_its_audio_and_its_beginning():
    said = (TABLE.urgent, *range(300, 600), TABLE.text_end)
    executor = Executor(ENGINE)
    config = SessionConfig("", None, 90, SamplingConfig(max_reply_tokens=999))
    session = executor.open(config, policy=ForcedPolicy({1: said}))
    events = []
    for packet in np.split(noise(4), 4):
        executor.push(session, packet)
        while (tick := executor.tick(0.0)).work is not None:
            events += [e for _, e in tick.events]
            legal(remembered_ids(executor.memory(session)))
    assert [e.text for e in events if isinstance(e, ReplyEnded)] == [
        ENGINE.tokenizer.decode(said[1:-1])
    ]
    lost = [e for e in events if isinstance(e, MemoryTrimmed) and not e.blocks]
    assert lost, "its middle went, and that was said"
    assert lost[-1].remembered_s == pytest.approx(0.4)


def test_an_idle_engine_makes_room_before_it_is_needed():
    executor = Executor(ENGINE)
    session = executor.open(SessionConfig("", 1.0, 120, GREEDY))
    works = []
    for packet in np.split(noise(12), 12):
        executor.push(session, packet)
        while (tick := executor.tick(0.0)).work is not None:
            works.append(tick.work)
    assert Reanchor(session) in works
    memory = executor.memory(session)
    assert memory.remembered_s == pytest.approx(0.4 * len(memory.blocks))


def test_an_engine_that_is_dropped_with_open_sessions_takes_its_memory_along():
    executor = Executor(ENGINE)
    executor.push(executor.open(), noise(2))
    while executor.tick(0.0).work is not None:
        pass
    pool = weakref.ref(executor.runner.pool)
    gc.disable()
    try:
        del executor
        assert pool() is None, "it waits for the garbage collector"
    finally:
        gc.enable()


class EveryEleventhChunk:
    """The model's words, at chunks that no processor's rounding can move."""

    def speaks(self, chunk: int, p_response: float) -> bool:
        return chunk % 11 == 0

    def next_token(self, chunk: int, said: Sequence[int], sampled: int) -> int:
        return sampled


@pytest.mark.slow
def test_an_hour_of_one_session_stays_within_its_memory():
    """9000 chunks in real time on a simulated clock, at the smallest size. Two arrive at once, and
    a reply takes longer than that: chunks wait for its end and are drained.
    """
    executor = Executor(ENGINE)
    reply = SamplingConfig(temperature=0.0, max_reply_tokens=7)
    session = executor.open(SessionConfig("", sampling=reply), policy=EveryEleventhChunk())
    simulation = Simulation(executor, encode_s=0.01, decode_s=0.15)
    audio = np.split(noise(100), 50)

    def push(turn: int) -> None:
        executor.push(session, audio[turn % 50], simulation.now)
        if turn % 50 == 0:
            legal(remembered_ids(executor.memory(session)))
        following = partial(push, turn + 1) if turn < 4499 else partial(executor.close, session)
        simulation.at(0.8 * (turn + 2), following)

    def check() -> None:
        if executor.is_open(session):
            state = executor._sessions[session]
            assert executor.memory(session).length <= 256
            waiting.add(len(state.queue) if state.speaking else 0)

    waiting: set[int] = set()
    simulation.check = check
    simulation.at(0.8, partial(push, 0))
    simulation.run()
    events = simulation.events[session]
    decided = [e for e in events if isinstance(e, Decided)]
    assert [e.chunk for e in decided] == list(range(9000))
    spoke = sum(e.speak for e in decided)
    assert sum(isinstance(e, ReplyEnded) for e in events) == spoke > 300
    assert max(waiting) >= 2, "no chunk waited for the end of a reply"
    assert sum(e.stale for e in decided) > spoke // 2
    assert sum(isinstance(e, MemoryTrimmed) for e in events) > 1000
    assert isinstance(events[-1], SessionEnded)
    assert events[-1].dropped_chunks == 0
