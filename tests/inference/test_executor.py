"""The executor under every schedule: jitter, bursts, slow passes, interruptions, closes."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import count

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.dialogue_decoder import Drain, InTurn
from inference.events import (
    ChunkDropped,
    Decided,
    MemoryTrimmed,
    Overloaded,
    ReplyEnded,
    ReplyStarted,
    ReplyTruncated,
    SessionEnded,
    SessionFailed,
)
from inference.executor import Executor
from inference.limits import Limits, OverloadedError
from inference.policy import ForcedPolicy
from inference.ragged_forward import ragged_forward
from inference.sampling import SamplingConfig
from inference.scheduler import Decode, Encode, Reanchor
from inference.session import SessionConfig, prefix_ids
from soundflow.errors import UserError
from soundflow.protocol import layout
from tests.inference.engines import make_engine

ENGINE = make_engine(max_positions=256)
SPEC, TABLE = ENGINE.spec, ENGINE.spec.tokens
GREEDY = SamplingConfig(temperature=0.0, max_reply_tokens=12)
CHUNK = SPEC.time.chunk_samples
LOOK_AHEAD = 40


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
    events: dict[int, list] = field(default_factory=dict)
    agenda: list = field(default_factory=list)
    works: list = field(default_factory=list)
    turns: Iterator[int] = field(default_factory=count)
    check: object = None

    def at(self, when: float, act) -> None:
        heapq.heappush(self.agenda, (when, next(self.turns), act))

    def run(self) -> None:
        while self.agenda or self.executor.sessions:
            while self.agenda and self.agenda[0][0] <= self.now:
                heapq.heappop(self.agenda)[2]()
            tick = self.executor.tick(self.now)
            self.works.append(tick.work)
            for session, event in tick.events:
                self.events.setdefault(session, []).append(event)
            if self.check is not None:
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
        "closes_early": st.booleans(),
        "limit": st.sampled_from([None, 120]),
        "reply": st.sampled_from([2, 5, 40]),
    }),
    min_size=1, max_size=4,
)  # fmt: skip


@settings(max_examples=25, deadline=None)
@given(plans, st.floats(0.001, 0.6), st.floats(0.001, 0.6), st.booleans())
def test_whatever_the_schedule(plans, encode_s, decode_s, in_turn):
    order = InTurn(3) if in_turn else Drain()
    executor = Executor(ENGINE, Limits(max_sessions=4, listen_chunks=6), order)
    simulation = Simulation(executor, encode_s, decode_s)
    told: dict[int, dict] = {}

    def start(plan):
        sampling = replace(GREEDY, max_reply_tokens=plan["reply"])
        config = SessionConfig("", plan["threshold"], plan["limit"], sampling)
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
        ends = simulation.now + 1.0 if plan["closes_early"] else when
        simulation.at(ends, lambda: close(session))

    def push(session, packet):
        if executor.is_open(session) and not executor._sessions[session].closing:
            executor.push(session, packet, simulation.now)

    def interrupt(session, heard):
        if executor.is_open(session):
            executor.interrupt(session, heard, simulation.now)

    def close(session):
        if executor.is_open(session):
            executor.close(session, simulation.now)

    def check():
        for session, state in executor._sessions.items():
            memory = executor.memory(session)
            legal(memory.ids)
            assert memory.length == len(memory.ids) <= memory.limit_positions
            assert memory.length == executor.runner.pool.length(state.row)

    simulation.check = check
    for plan in plans:
        simulation.at(plan["opens_s"], lambda p=plan: start(p))
    simulation.run()
    assert len(told) == len(plans)
    for session in told:
        _consistent(simulation.events[session])
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
        ids.append(executor.memory(session).ids)
        odds.append([e.p_response for e in events])
    prefix = prefix_ids(ENGINE)
    block = layout.listen(TABLE, 10).ids + layout.silence(TABLE).ids
    assert ids[0] == ids[1] == (prefix + block * 5)[:-1]
    assert np.allclose(odds[0], odds[1], atol=1e-5)


def test_sessions_of_a_batch_decide_and_reply_as_alone():
    def run(which, executor):
        ids = [
            executor.open(SessionConfig(sampling=SamplingConfig(seed=i, max_reply_tokens=6)))
            for i in which
        ]
        events = {i: [] for i in ids}
        for at in range(7):
            for i, session in zip(which, ids, strict=True):
                executor.push(session, np.split(noise(7, i), 7)[at])
            while (tick := executor.tick(0.0)).work is not None:
                for session, event in tick.events:
                    events[session].append(event)
        return [events[i] for i in ids]

    together = run(range(8), Executor(ENGINE, order=InTurn()))
    for i, beside in enumerate(together):
        (alone,) = run([i], Executor(ENGINE, order=InTurn()))
        assert [_plain(e) for e in alone] == [_plain(e) for e in beside]
        gaps = [
            abs(a.p_response - b.p_response)
            for a, b in zip(alone, beside, strict=True) if isinstance(a, Decided)
        ]  # fmt: skip
        assert max(gaps) < 1e-4


def _plain(event):
    return replace(event, p_response=0.0) if isinstance(event, Decided) else event


@pytest.mark.parametrize("later_chunks", [0, 1, 3])
def test_an_interruption_leaves_in_the_memory_what_was_heard(later_chunks):
    """The reply is over when the person speaks; of its six words two were heard."""
    words = ENGINE.tokenizer.encode("Light on. The door is open.")[:6]
    executor = Executor(ENGINE)
    session = executor.open(
        SessionConfig(), policy=ForcedPolicy({0: (TABLE.sad, *words, TABLE.text_end)})
    )
    audio = np.split(noise(3 + later_chunks), 3 + later_chunks)
    for packet in audio[: 2 + later_chunks]:
        executor.push(session, packet)
        while executor.tick(0.0).work is not None:
            pass
    executor.interrupt(session, heard_tokens=2)
    (_, event), *_ = executor.tick(0.0).events
    assert isinstance(event, ReplyTruncated)
    assert event.text == ENGINE.tokenizer.decode(words[:2])
    executor.push(session, audio[-1])
    while executor.tick(0.0).work is not None:
        pass
    parsed = layout.parse_online(TABLE, 10, [*executor.memory(session).ids, TABLE.keep_silence])
    assert parsed.turns[0].text_ids == tuple(words[:2])
    assert parsed.n_chunks == 2 + later_chunks


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
            legal(executor.memory(session).ids)
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


def test_a_damaged_session_ends_alone():
    executor = Executor(ENGINE)
    good, bad = executor.open(), executor.open()
    for session in (good, bad):
        executor.push(session, noise(2))
    assert isinstance(executor.tick(0.0).work, Encode)
    row = executor._sessions[bad].row
    executor.runner.pool.keys[0][row, :, 0] = float("nan")
    events = {good: [], bad: []}
    while (tick := executor.tick(0.0)).work is not None:
        for session, event in tick.events:
            events[session].append(event)
    assert [type(e) for e in events[bad]] == [SessionFailed, SessionEnded]
    assert "NaN" in events[bad][0].error
    assert any(isinstance(e, Decided) for e in events[good])
    assert executor.is_open(good)
    # Its row was wiped: the next session on it is as good as new.
    again = executor.open()
    executor.push(again, noise(2))
    while (tick := executor.tick(0.0)).work is not None:
        assert not any(isinstance(e, SessionFailed) for _, e in tick.events)


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


def test_rows_are_given_out_until_there_are_none():
    executor = Executor(ENGINE, Limits(max_sessions=1))
    first = executor.open()
    with pytest.raises(OverloadedError, match="1 sessions are open"):
        executor.open()
    executor.abort(first, UserError("gone", ""))
    executor.open()


def test_a_shared_prefix_is_computed_once(monkeypatch):
    passes = []
    monkeypatch.setattr(
        "inference.model_runner.ragged_forward",
        lambda *args: passes.append(1) or ragged_forward(*args),
    )
    executor = Executor(ENGINE)
    rows = [executor._sessions[executor.open()].row for _ in range(3)]
    assert len(passes) == 1
    pool = executor.runner.pool
    assert torch.equal(pool.keys[1][rows[0]], pool.keys[1][rows[2]])


def test_a_memory_keeps_its_own_chunks_and_no_batch():
    executor = Executor(ENGINE)
    sessions = [executor.open(SessionConfig("", 1.0)) for _ in range(3)]
    for session in sessions:
        executor.push(session, noise(2))
    while executor.tick(0.0).work is not None:
        pass
    (slots,) = [block.slots for block in executor.memory(sessions[0]).blocks]
    assert slots.untyped_storage().nbytes() == slots.nbytes


@pytest.mark.slow
def test_an_hour_of_one_session_stays_within_its_memory():
    """9000 chunks with replies, at the smallest size, in packets that can be taken in batches."""
    executor = Executor(ENGINE, order=InTurn(8))
    short = SamplingConfig(temperature=0.0, max_reply_tokens=2)
    session = executor.open(SessionConfig("", 0.97, None, short))
    audio = noise(100)
    chunks = speaks = trims = 0
    for _ in range(90):
        executor.push(session, audio)
        while (tick := executor.tick(0.0)).work is not None:
            decided = [e for _, e in tick.events if isinstance(e, Decided)]
            assert [e.chunk for e in decided] == list(range(chunks, chunks + len(decided)))
            chunks += len(decided)
            speaks += sum(e.speak for e in decided)
            trims += sum(isinstance(e, MemoryTrimmed) for _, e in tick.events)
            assert executor.memory(session).length <= 256
        legal(executor.memory(session).ids)
    assert chunks == 8999
    assert 0 < speaks < 9000
    assert trims > 1000
