"""What a caller may ask of a session while it goes on."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from itertools import count

import numpy as np
import pytest
import torch

from inference.decoder.policy import ForcedPolicy
from inference.events import (
    Decided,
    ReplyEnded,
    ReplyStarted,
    ReplyText,
    ReplyTruncated,
    ReplyWithdrawn,
    SessionEvent,
)
from inference.limits import Limits, OverloadedError
from inference.passes.ragged_forward import ragged_forward
from inference.sessions.config import Respond, SessionConfig
from inference.sessions.executor import Executor
from soundflow.protocol import layout
from tests.inference.engines import remembered_ids
from tests.inference.sessions.executor.simulation import (
    CHUNK,
    ENGINE,
    GREEDY,
    LOOK_AHEAD,
    TABLE,
    noise,
)


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
    parsed = layout.parse_online(
        TABLE, 10, [*remembered_ids(executor.memory(session)), TABLE.keep_silence]
    )
    assert parsed.turns[0].text_ids == tuple(words[:2])
    assert parsed.n_chunks == 2 + later_chunks


def finished(executor: Executor) -> list[SessionEvent]:
    """The events until all sessions wait for audio."""
    events = []
    while (tick := executor.tick(0.0)).work is not None or tick.events:
        events += [event for _, event in tick.events]
    return events


def test_a_session_that_is_not_proactive_speaks_when_asked():
    executor = Executor(ENGINE)
    session = executor.open(SessionConfig(threshold=0.0, sampling=GREEDY, proactive=False))
    executor.push(session, noise(3))
    assert {type(e) for e in finished(executor)} == {Decided}
    executor.respond(session)
    events = finished(executor)
    assert [e.speak for e in events if isinstance(e, Decided)] == [True]
    assert [e.asked for e in events if isinstance(e, ReplyStarted)] == [True]
    executor.configure(session, SessionConfig(threshold=0.0, sampling=GREEDY))
    executor.push(session, noise(1))
    assert [e.asked for e in finished(executor) if isinstance(e, ReplyStarted)] == [False]


def test_an_interruption_withdraws_a_reply_that_has_not_begun():
    executor = Executor(ENGINE)
    session = executor.open(SessionConfig(threshold=1.0, sampling=GREEDY))
    executor.push(session, noise(1)[:3000])
    executor.respond(session)
    executor.interrupt(session)
    events = finished(executor)
    assert [(type(e), e.chunk) for e in events] == [(ReplyWithdrawn, 0), (Decided, 0)]
    executor.interrupt(session)
    assert finished(executor) == []


def test_a_reply_that_was_not_asked_for_does_not_pass_for_the_one_that_was():
    """The model speaks about chunk 0 by itself; asked for is an answer to chunk 2."""
    said = (TABLE.normal, *[300] * 5, TABLE.text_end)
    executor = Executor(ENGINE)
    session = executor.open(SessionConfig(), 0.0, ForcedPolicy({0: said, 2: said}))
    audio = noise(3)
    executor.push(session, audio[: len(audio) // 2])
    while not executor._sessions[session].speaking:
        executor.tick(0.0)
    executor.push(session, audio[len(audio) // 2 :])
    executor.respond(session)
    began = [e for e in finished(executor) if isinstance(e, ReplyStarted)]
    assert [(e.chunk, e.asked) for e in began] == [(0, False), (2, True)]


def test_a_policy_of_the_caller_stays_when_the_session_is_configured():
    said = (TABLE.normal, *[300] * 2, TABLE.text_end)
    executor = Executor(ENGINE)
    session = executor.open(SessionConfig(), 0.0, ForcedPolicy({1: said}))
    executor.configure(session, SessionConfig("Be brief.", 0.0))
    executor.push(session, noise(4))
    assert [e.chunk for e in finished(executor) if isinstance(e, ReplyStarted)] == [1]


@pytest.mark.parametrize("fails_at", [1, 2])
def test_a_new_instruction_that_runs_out_of_memory_changes_nothing(monkeypatch, fails_at):
    """In the pass over the instruction, or in the one over what was heard, during a reply."""
    said = (TABLE.normal, *[300] * 8, TABLE.text_end)

    def speaking() -> tuple[Executor, int]:
        executor = Executor(ENGINE, Limits(max_sessions=1))
        session = executor.open(SessionConfig(), 0.0, ForcedPolicy({1: said}))
        executor.push(session, noise(3))
        while not executor._sessions[session].speaking:
            executor.tick(0.0)
        return executor, session

    undisturbed, _ = speaking()
    expected = finished(undisturbed)

    executor, session = speaking()
    before = remembered_ids(executor.memory(session))
    passes = count(1)

    def allocate(*args: object) -> torch.Tensor:
        if next(passes) == fails_at:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return ragged_forward(*args)

    runner = executor.runner
    with monkeypatch.context() as patch:
        patch.setattr("inference.passes.model_runner.ragged_forward", allocate)
        patch.setattr(runner, "_forward", partial(allocate, ENGINE.model, runner.pool))
        with pytest.raises(OverloadedError, match="not enough memory to read the new instruction"):
            executor.configure(session, SessionConfig("Say what you hear."))
    assert remembered_ids(executor.memory(session)) == before
    assert runner.pool.free_rows == 0
    assert finished(executor) == expected
    executor.configure(session, SessionConfig("Say what you hear."))
    prefix = ENGINE.prefix_ids("Say what you hear.")
    assert remembered_ids(executor.memory(session))[: len(prefix)] == prefix
    executor.abort(session)
    assert runner.pool.free_rows == 1


def silent_session(system: str = "") -> tuple[Executor, int]:
    """It speaks only when asked, and has heard two and a half chunks."""
    executor = Executor(ENGINE)
    session = executor.open(SessionConfig(system, sampling=GREEDY, proactive=False))
    executor.push(session, noise(5)[: 2 * CHUNK + CHUNK // 2])
    finished(executor)
    return executor, session


def odds_after(executor: Executor, session: int) -> float:
    executor.push(session, noise(5)[3 * CHUNK + LOOK_AHEAD :])
    return [e.p_response for e in finished(executor) if isinstance(e, Decided)][-1]


def test_a_reply_has_an_instruction_and_a_limit_of_its_own():
    """It is the reply of a session that began with them; afterwards the session's own hold."""
    brief = SessionConfig("Be brief.", sampling=replace(GREEDY, max_reply_tokens=3))
    began, session = silent_session("Be brief.")
    began.respond(session)
    expected = [e.token for e in finished(began) if isinstance(e, ReplyText)]

    executor, session = silent_session()
    executor.respond(session, asked=Respond(brief))
    said = [e for e in finished(executor) if isinstance(e, ReplyStarted | ReplyText)]
    assert [e.token for e in said[1:]] == expected[:3]
    own = ENGINE.prefix_ids("")
    assert remembered_ids(executor.memory(session))[: len(own)] == own

    forced = Executor(ENGINE)
    emotion = TABLE.emotion_ids[said[0].emotion]
    reply = (emotion, *(e.token for e in said[1:]), TABLE.text_end)
    other = forced.open(SessionConfig(""), 0.0, ForcedPolicy({2: reply}))
    forced.push(other, noise(5)[: 2 * CHUNK + CHUNK // 2])
    forced.respond(other)
    finished(forced)
    assert odds_after(executor, session) == pytest.approx(odds_after(forced, other), abs=1e-5)
    executor.respond(session)
    assert sum(isinstance(e, ReplyText) for e in finished(executor)) > 3


@pytest.mark.parametrize("interrupted", [False, True])
def test_a_reply_that_is_not_remembered_leaves_no_trace(interrupted):
    executor, session = silent_session()
    executor.respond(session, asked=Respond(SessionConfig("Be brief.", sampling=GREEDY), False))
    while interrupted and not executor._sessions[session].speaking:
        executor.tick(0.0)
    if interrupted:
        executor.interrupt(session)
    assert any(isinstance(e, ReplyEnded) for e in finished(executor))
    executor.interrupt(session, heard_tokens=0)
    assert finished(executor) == []
    silent, other = silent_session()
    silent.push(other, np.zeros(CHUNK // 2 + LOOK_AHEAD, np.float32))
    finished(silent)
    assert odds_after(executor, session) == pytest.approx(odds_after(silent, other), abs=1e-5)
    assert remembered_ids(executor.memory(session)) == remembered_ids(silent.memory(other))


def test_a_new_instruction_waits_for_a_reply_that_has_its_own():
    executor, session = silent_session()
    executor.respond(session, asked=Respond(SessionConfig("Be brief.", sampling=GREEDY)))
    while not executor._sessions[session].speaking:
        executor.tick(0.0)
    executor.configure(session, SessionConfig("Say what you hear.", sampling=GREEDY))
    for system, last in (("Be brief.", False), ("Say what you hear.", True)):
        finished(executor) if last else None
        prefix = ENGINE.prefix_ids(system)
        assert remembered_ids(executor.memory(session))[: len(prefix)] == prefix


def test_a_session_that_cannot_be_opened_for_want_of_memory_leaves_its_row(monkeypatch):
    def fail(*args: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    executor = Executor(ENGINE, Limits(max_sessions=1))
    with monkeypatch.context() as patch:
        patch.setattr("inference.passes.model_runner.ragged_forward", fail)
        with pytest.raises(OverloadedError, match="not enough memory for another session"):
            executor.open()
    executor.push(executor.open(), noise(2))
    assert any(isinstance(e, Decided) for e in finished(executor))


def test_a_new_instruction_gives_the_odds_of_a_session_that_began_with_it():
    began = Executor(ENGINE)
    session = began.open(SessionConfig("Say what you hear.", 1.0))
    began.push(session, noise(5))
    odds = [e.p_response for e in finished(began) if isinstance(e, Decided)]
    changed = Executor(ENGINE)
    session = changed.open(SessionConfig("", 1.0))
    changed.push(session, noise(5)[: 3 * CHUNK + LOOK_AHEAD])
    finished(changed)
    changed.configure(session, SessionConfig("Say what you hear.", 1.0))
    changed.push(session, noise(5)[3 * CHUNK + LOOK_AHEAD :])
    (found,) = [e.p_response for e in finished(changed) if isinstance(e, Decided)]
    assert found == pytest.approx(odds[-1], abs=1e-5)
