"""The executor under every schedule: jitter, bursts, slow passes, interruptions, closes."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.decoder.dialogue_decoder import Drain, InTurn
from inference.decoder.policy import ForcedPolicy
from inference.decoder.sampling import SamplingConfig
from inference.events import (
    ChunkDropped,
    Decided,
    MemoryTrimmed,
    Overloaded,
    ReplyEnded,
    ReplyStarted,
    ReplyWithdrawn,
    SessionEnded,
)
from inference.limits import Limits
from inference.sessions.config import Respond, SessionConfig
from inference.sessions.executor import Executor
from inference.sessions.scheduler import Decode, Encode
from soundflow.protocol import layout
from tests.inference.engines import remembered_ids
from tests.inference.sessions.executor.simulation import (
    CHUNK,
    ENGINE,
    GREEDY,
    TABLE,
    Simulation,
    legal,
    noise,
)

plans = st.lists(
    st.fixed_dictionaries({
        "opens_s": st.floats(0, 2),
        "chunks": st.integers(0, 9),
        "jitter": st.lists(st.floats(0, 1.5), min_size=9, max_size=9),
        "packet": st.integers(700, 3 * CHUNK),
        "threshold": st.sampled_from([0.0, 0.3, 0.5, 1.0]),
        "interrupts": st.lists(
            st.tuples(st.floats(0, 6), st.none() | st.integers(0, 5)), max_size=3
        ),
        "asks": st.lists(
            st.tuples(
                st.floats(0, 6), st.none() | st.sampled_from(["", "Be brief."]), st.booleans()
            ),
            max_size=2,
        ),
        "instructs": st.lists(
            st.tuples(st.floats(0, 6), st.sampled_from(["", "Be brief.", "Say what you hear."])),
            max_size=2,
        ),
        "closes_early": st.booleans(),
        "limit": st.sampled_from([None, 120]),
        "past_turns": st.sampled_from([0.0, 0.5]),
        "proactive": st.booleans(),
        "reply": st.sampled_from([2, 5, 40]),
    }),
    min_size=1, max_size=4,
)  # fmt: skip


def of_few(compute, fit, items):
    """``compute``, for which the memory is enough only up to ``fit`` items."""

    def computed(*args):
        if len(items(*args)) > fit:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return compute(*args)

    return computed


@settings(max_examples=25, deadline=None)
@given(
    plans, st.floats(0.001, 0.6), st.floats(0.001, 0.6), st.booleans(), st.sampled_from([1, 2, 99])
)
def test_whatever_the_schedule(plans, encode_s, decode_s, in_turn, fit):
    """``fit``: of chunks to encode and of sessions in a pass, how many the memory is enough for."""
    order = InTurn(3) if in_turn else Drain()
    executor = Executor(ENGINE, Limits(max_sessions=4, listen_chunks=6), order)
    runner = executor.runner
    runner.encode = of_few(runner.encode, fit, lambda mels: mels)
    runner._forward = of_few(runner._forward, fit, lambda embeds, segments, read: segments)
    simulation = Simulation(executor, encode_s, decode_s)
    told: dict[int, dict] = {}
    asked: set[int] = set()

    def start(plan):
        sampling = replace(GREEDY, max_reply_tokens=plan["reply"])
        config = SessionConfig(
            "", plan["threshold"], plan["limit"], sampling, plan["past_turns"], plan["proactive"]
        )
        session = executor.open(config, simulation.now)
        told[session] = plan
        audio, when = noise(plan["chunks"], plan["chunks"]), simulation.now
        for at in range(0, len(audio), plan["packet"]):
            packet = audio[at : at + plan["packet"]]
            when += len(packet) / 16_000
            late = when + plan["jitter"][(at // plan["packet"]) % 9]
            when = late if late > when else when
            simulation.at(when, lambda p=packet: push(session, p))
        for after_s, heard in plan["interrupts"]:
            simulation.at(simulation.now + after_s, lambda h=heard: interrupt(session, h))
        for after_s, system, remembered in plan["asks"]:
            own = None if system is None else replace(config, system=system)
            asking = Respond(own, remembered)
            simulation.at(simulation.now + after_s, lambda a=asking: respond(session, a))
        for after_s, system in plan["instructs"]:
            other = replace(config, system=system)
            simulation.at(simulation.now + after_s, lambda c=other: instruct(session, c))
        ends = simulation.now + 1.0 if plan["closes_early"] else when
        simulation.at(ends, lambda: close(session))

    def push(session, packet):
        if executor.is_open(session) and not executor._sessions[session].closing:
            executor.push(session, packet, simulation.now)

    def interrupt(session, heard):
        if executor.is_open(session):
            executor.interrupt(session, heard, simulation.now)

    def respond(session, asking):
        if executor.is_open(session) and not executor._sessions[session].closing:
            executor.respond(session, simulation.now, asking)
            asked.add(session)

    def instruct(session, config):
        if executor.is_open(session):
            executor.configure(session, config, simulation.now)

    def close(session):
        if executor.is_open(session):
            executor.close(session, simulation.now)

    def check():
        for session, state in executor._sessions.items():
            memory = executor.memory(session)
            legal(remembered_ids(memory))
            assert memory.length == len(remembered_ids(memory)) <= memory.limit_positions
            assert memory.length == executor.runner.pool.length(state.row.index)

    simulation.check = check
    for plan in plans:
        simulation.at(plan["opens_s"], lambda p=plan: start(p))
    simulation.run()
    assert len(told) == len(plans)
    for session, plan in told.items():
        _consistent(simulation.events[session])
        began = [e for e in simulation.events[session] if isinstance(e, ReplyStarted)]
        withdrawn = [e for e in simulation.events[session] if isinstance(e, ReplyWithdrawn)]
        answers = sum(e.asked for e in began) + len(withdrawn)
        assert (session in asked) <= answers <= len(plan["asks"])
        assert plan["proactive"] or all(e.asked for e in began)
    assert executor.runner.pool.free_rows == 4


def _consistent(events) -> None:
    """Order is kept, nothing is lost without a word, and turns are whole."""
    ended = events[-1]
    assert isinstance(ended, SessionEnded)
    assert sum(isinstance(e, SessionEnded) for e in events) == 1
    decided = [e.chunk for e in events if isinstance(e, Decided)]
    dropped = [e.chunk for e in events if isinstance(e, ChunkDropped)]
    assert decided == sorted(decided)
    assert sorted(decided + dropped) == list(range(ended.chunks))
    assert ended.dropped_chunks == len(dropped)
    assert ended.trimmed_blocks == sum(e.blocks for e in events if isinstance(e, MemoryTrimmed))
    spoke = [e.chunk for e in events if isinstance(e, Decided) and e.speak]
    assert [e.chunk for e in events if isinstance(e, ReplyStarted)] == spoke
    assert [e.chunk for e in events if isinstance(e, ReplyEnded)] == spoke
    assert not [e for e in events if isinstance(e, Decided) and e.stale and e.speak]
    stamps = [e.wall_s for e in events]
    assert stamps == sorted(stamps)


def test_while_a_reply_is_spoken_chunks_are_heard_and_the_newest_is_decided_on():
    said = (TABLE.normal, *[300] * 10, TABLE.text_end)
    executor = Executor(ENGINE)
    config = SessionConfig(sampling=SamplingConfig(max_repeats=None))
    session = executor.open(config, 0.0, ForcedPolicy({0: said}))
    simulation = Simulation(executor, encode_s=0.01, decode_s=0.2)
    for i, packet in enumerate(np.split(noise(8), 8)):
        simulation.at(0.4 * (i + 1), lambda p=packet: executor.push(session, p, simulation.now))
    simulation.at(4.0, lambda: executor.close(session, simulation.now))
    simulation.run()
    decided = [e for e in simulation.events[session] if isinstance(e, Decided)]
    # The reply takes 12 tokens of 0.2 s and begins at 0.8 s: it ends at 3.2 s, with 5 chunks more.
    assert [e.stale for e in decided] == [False, True, True, True, True, True, False, False]
    encodes = [i for i, w in enumerate(simulation.works) if isinstance(w, Encode)]
    speaks = [i for i, w in enumerate(simulation.works) if isinstance(w, Decode) and w.speak]
    assert any(speaks[0] < i < speaks[-1] for i in encodes), "the encoder waited for the decoder"


def test_a_burst_is_decided_on_chunk_by_chunk():
    """Who sends a recording at once is answered like who sends it at the speed of speech."""
    said = (TABLE.normal, *[300] * 5, TABLE.text_end)
    executor = Executor(ENGINE)
    session = executor.open(policy=ForcedPolicy({2: said, 3: said, 17: said}))
    executor.push(session, noise(20))
    events = []
    while (tick := executor.tick(0.0)).work is not None:
        events += [event for _, event in tick.events]
    assert [e.chunk for e in events if isinstance(e, ReplyStarted)] == [2, 3, 17]
    decided = [e for e in events if isinstance(e, Decided)]
    assert [e.chunk for e in decided] == list(range(19))
    assert not any(e.stale for e in decided)


def test_a_recording_that_goes_on_arriving_during_a_reply_was_not_spoken_over_it():
    """Ten chunks every tenth of a second, most of them during the reply to the first."""
    said = (TABLE.normal, *[300] * 5, TABLE.text_end)
    executor = Executor(ENGINE)
    session = executor.open(policy=ForcedPolicy({0: said, 15: said}))
    simulation = Simulation(executor, encode_s=0.01, decode_s=0.2)
    audio = noise(40)
    for i, packet in enumerate(np.split(audio, 4)):
        push = partial(executor.push, session, packet)
        simulation.at(0.1 * i, lambda p=push: p(simulation.now))
    simulation.at(0.5, lambda: executor.close(session, simulation.now))
    simulation.run()
    events = simulation.events[session]
    assert [e.chunk for e in events if isinstance(e, ReplyStarted)] == [0, 15]
    assert not any(e.stale for e in events if isinstance(e, Decided))


def test_draining_gives_the_history_and_the_odds_of_one_chunk_at_a_time():
    """What training shows the model: silences, then a decision."""
    one, many = Executor(ENGINE), Executor(ENGINE)
    ids, odds = [], []
    for executor, packets in ((one, np.split(noise(6), 6)), (many, [noise(6)])):
        session = executor.open(SessionConfig(threshold=1.0))
        events = []
        for packet in packets:
            executor.push(session, packet)
            while (tick := executor.tick(0.0)).work is not None:
                events += [e for _, e in tick.events]
        ids.append(remembered_ids(executor.memory(session)))
        odds.append([e.p_response for e in events])
    prefix = ENGINE.prefix_ids()
    block = layout.listen(TABLE, 10).ids + layout.silence(TABLE).ids
    assert ids[0] == ids[1] == (prefix + block * 5)[:-1]
    assert np.allclose(odds[0], odds[1], atol=1e-5)


def test_a_session_that_falls_behind_is_told_once():
    executor = Executor(ENGINE, Limits(overload_s=1.0))
    session = executor.open(SessionConfig(threshold=1.0))
    simulation = Simulation(executor, encode_s=0.01, decode_s=3.0)
    for i, packet in enumerate(np.split(noise(9), 9)):
        simulation.at(0.4 * (i + 1), lambda p=packet: executor.push(session, p, simulation.now))
    simulation.at(3.7, lambda: executor.close(session, simulation.now))
    simulation.run()
    assert sum(isinstance(e, Overloaded) for e in simulation.events[session]) == 1
    assert simulation.events[session][-1].late_chunks > 1
