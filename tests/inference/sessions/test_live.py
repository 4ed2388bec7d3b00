"""Live sessions on their worker thread."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from inference.decoder.policy import ForcedPolicy
from inference.decoder.sampling import SamplingConfig
from inference.events import Decided, ReplyEnded, ReplyText, SessionEnded, SessionFailed
from inference.limits import Limits, OverloadedError
from inference.profiles import PUBLISHED
from inference.sessions import live_session
from inference.sessions.config import SessionConfig
from inference.sessions.live import LiveEngine
from soundflow.errors import UserError
from tests.inference.engines import make_engine

ENGINE = make_engine()
TABLE = ENGINE.spec.tokens
SILENT = SessionConfig(threshold=1.0)
SHORT = SessionConfig(sampling=SamplingConfig(temperature=0.0, max_reply_tokens=5))
WAIT_S = 30.0


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (0.2 * rng.standard_normal(round(seconds * 16_000))).astype(np.float32)


@pytest.fixture
def live():
    with LiveEngine(ENGINE, Limits(max_sessions=4)) as engine:
        yield engine


def test_sessions_side_by_side_each_to_its_end(live):
    sessions = [live.open(SHORT) for _ in range(3)]
    for packet in np.array_split(noise(3.0), 7):
        for session in sessions:
            session.push(packet)
    for session in sessions:
        session.close()
    for session in sessions:
        events = list(session.events(WAIT_S))
        assert [e.chunk for e in events if isinstance(e, Decided)] == list(range(8))
        assert events[-1] == SessionEnded(8, 3.0, 48_000)
        assert list(session.events(WAIT_S)) == []
    assert live.sessions == 0


def test_events_end_for_now_after_the_timeout(live):
    session = live.open(SILENT)
    assert list(session.events(0.01)) == []
    session.push(noise(0.5))
    assert [e.chunk for e in session.events(0.5)] == [0]
    assert session.remembered_s == pytest.approx(0.4)


def test_events_for_asyncio(live):
    async def listen() -> list:
        session = live.open(SHORT)
        session.push(noise(1.0))
        session.close()
        return [event async for event in session.async_events()]

    events = asyncio.run(listen())
    assert isinstance(events[-1], SessionEnded)
    assert sum(isinstance(e, Decided) for e in events) == 3


@pytest.mark.parametrize(
    "bad", [np.full(10, np.nan), np.zeros((2, 5)), np.zeros(10, np.int32), np.full(10, 200.0)]
)
def test_bad_packets_are_refused_where_they_are_pushed(live, bad):
    session = live.open()
    with pytest.raises(UserError):
        session.push(bad)


def test_push_and_open_after_the_end_are_refused(live):
    session = live.open()
    session.close()
    session.close()
    with pytest.raises(RuntimeError, match="closed"):
        session.push(noise(0.1))
    live.close()
    with pytest.raises(RuntimeError, match="closed"):
        live.open()


def test_more_sessions_than_rows_are_refused_until_one_ends(live):
    sessions = [live.open() for _ in range(4)]
    with pytest.raises(OverloadedError, match="4 sessions are open"):
        live.open()
    with pytest.raises(UserError, match="instruction is too long"):
        live.open(SessionConfig(system="word " * 2000))
    sessions[0].close()
    list(sessions[0].events(WAIT_S))
    live.open()


def test_a_flood_is_refused_and_does_not_hold_up_others(live):
    flooding, other = live.open(SILENT), live.open(SILENT)

    def flood():
        for _ in range(500):
            flooding.push(noise(10.0))

    with pytest.raises(OverloadedError, match="s of audio wait"):
        flood()
    other.push(noise(0.5))
    assert next(other.events(WAIT_S)).chunk == 0


def test_an_interruption_ends_a_reply_that_would_go_on(live):
    said = (TABLE.normal, *[300] * 100_000, TABLE.text_end)
    long = SamplingConfig(max_reply_tokens=200_000, max_repeats=None)
    session = live.open(SessionConfig(sampling=long), ForcedPolicy({0: said}))
    session.push(noise(0.5))
    for event in session.events(WAIT_S):
        if isinstance(event, ReplyText):
            break
    session.interrupt(heard_tokens=1)
    ended = next(e for e in session.events(WAIT_S) if isinstance(e, ReplyEnded))
    assert ended.reason == "stopped"
    assert ended.text == ENGINE.tokenizer.decode([300])


def test_a_client_that_never_reads_is_ended(live, monkeypatch):
    monkeypatch.setattr(live_session, "MAX_UNREAD_EVENTS", 5)
    session = live.open(SILENT)
    session.push(noise(5.0))
    deadline = time.monotonic() + WAIT_S
    while live.sessions and time.monotonic() < deadline:
        time.sleep(0.01)
    assert any(isinstance(e, SessionFailed) for e in session.events(WAIT_S))


def test_closing_the_engine_ends_every_session_legally():
    live = LiveEngine(ENGINE)
    said = (TABLE.normal, *[300] * 100_000, TABLE.text_end)
    long = SamplingConfig(max_reply_tokens=200_000, max_repeats=None)
    session = live.open(SessionConfig(sampling=long), ForcedPolicy({0: said}))
    session.push(noise(0.5))
    next(session.events(WAIT_S))
    live.close()
    events = list(session.events(WAIT_S))
    assert isinstance(events[-1], SessionEnded)
    assert any(isinstance(e, ReplyEnded) for e in events)


def _await(event: threading.Event) -> None:
    assert event.wait(WAIT_S)


def test_closing_the_engine_right_after_a_session_was_dropped():
    live, go_on = LiveEngine(ENGINE, Limits(max_sessions=2)), threading.Event()
    dropped, other = live.open(SILENT), live.open(SILENT)
    live.ask(lambda executor: _await(go_on))
    dropped.abort()
    closing = threading.Thread(target=live.close)
    closing.start()

    def ask_on():
        while True:
            live.ask(lambda executor: None)

    with pytest.raises(RuntimeError, match="the engine is closed"):
        ask_on()  # until it is being closed: both commands wait for the worker
    go_on.set()
    closing.join(WAIT_S)
    for session in (dropped, other):
        assert isinstance(list(session.events(WAIT_S))[-1], SessionEnded)


def test_what_a_session_cannot_take_ends_that_session_only():
    """Under a maximum of the whole recording, a packet has to be one."""
    with LiveEngine(replace(ENGINE, profile=PUBLISHED), Limits(max_sessions=2)) as live:
        wrong, other = live.open(SILENT), live.open(SILENT)
        wrong.push(noise(0.3))
        failed, _ = wrong.events(WAIT_S)
        assert isinstance(failed, SessionFailed)
        assert failed.reason == "caller"
        other.push(noise(0.4))
        assert next(other.events(WAIT_S)).chunk == 0


def test_an_error_of_the_worker_reaches_every_reader(monkeypatch):
    live = LiveEngine(ENGINE)
    session = live.open()
    monkeypatch.setattr(threading, "excepthook", lambda args: None)
    monkeypatch.setattr(live._executor, "_encode", lambda states: 1 / 0)
    session.push(noise(0.5))
    with pytest.raises(RuntimeError, match="the engine stopped"):
        list(session.events(WAIT_S))
    with pytest.raises(RuntimeError, match="closed"):
        live.open()
    live.close()


def test_an_error_while_a_session_opens_reaches_whoever_opens_it(monkeypatch):
    live = LiveEngine(ENGINE)
    monkeypatch.setattr(threading, "excepthook", lambda args: None)
    monkeypatch.setattr(live._executor, "open", lambda *args: 1 / 0)
    with pytest.raises(RuntimeError, match="the engine stopped"):
        live.open()
    live.close()


def test_a_thousand_sessions_leak_neither_rows_nor_threads(live):
    before = threading.active_count()
    for i in range(1000):
        with live.open(SILENT) as session:
            if i % 100 == 0:
                session.push(noise(0.1))
        assert isinstance(next(session.events(WAIT_S)), SessionEnded | Decided)
    deadline = time.monotonic() + WAIT_S
    while live.sessions and time.monotonic() < deadline:
        time.sleep(0.01)
    assert live.sessions == 0
    assert live._executor.runner.pool.free_rows == 4
    assert threading.active_count() == before
