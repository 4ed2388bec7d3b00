"""Sessions that share passes, prefixes and the pool, and none of them can tell."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from inference.decoder.dialogue_decoder import InTurn
from inference.decoder.sampling import SamplingConfig
from inference.events import Decided, SessionEnded, SessionFailed
from inference.limits import Limits, OverloadedError
from inference.passes.ragged_forward import ragged_forward
from inference.sessions.config import SessionConfig
from inference.sessions.executor import Executor
from inference.sessions.scheduler import Encode
from soundflow.errors import UserError
from tests.inference.sessions.executor.simulation import ENGINE, GREEDY, noise


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


def test_a_damaged_session_ends_alone():
    executor = Executor(ENGINE)
    good, bad = executor.open(), executor.open()
    for session in (good, bad):
        executor.push(session, noise(2))
    assert isinstance(executor.tick(0.0).work, Encode)
    row = executor._sessions[bad].row.index
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


def test_a_pass_that_does_not_fit_is_computed_in_parts(monkeypatch):
    """Memory is enough for two sessions at once, not for five; none fails once that is known."""

    def run(most: int) -> tuple[list[list], int]:
        failed = 0
        executor = Executor(ENGINE)
        encode, forward = executor.runner.encode, executor.runner._forward

        def encode_at_most(mels):
            nonlocal failed
            if len(mels) > most:
                failed += 1
                raise torch.OutOfMemoryError("CUDA out of memory")
            return encode(mels)

        def forward_at_most(embeds, segments, read):
            nonlocal failed
            if len(segments) > most:
                failed += 1
                raise torch.OutOfMemoryError("CUDA out of memory")
            return forward(embeds, segments, read)

        monkeypatch.setattr(executor.runner, "encode", encode_at_most)
        monkeypatch.setattr(executor.runner, "_forward", forward_at_most)
        ids = [executor.open(SessionConfig(sampling=GREEDY)) for _ in range(5)]
        for session in ids:
            executor.push(session, noise(4, session))
            executor.close(session)
        events = {session: [] for session in ids}
        while (tick := executor.tick(0.0)).work is not None:
            for session, event in tick.events:
                events[session].append(_plain(event))
        return list(events.values()), failed

    events, failed = run(2)
    assert events == run(64)[0]
    assert failed == 4  # 20 chunks, 10, 5; 5 blocks


def test_a_session_that_does_not_fit_alone_is_the_only_one_that_ends(monkeypatch):
    """Others go on, and get the decisions that they get without it."""

    def run(*sizes: int) -> tuple[list[list], Executor]:
        executor = Executor(ENGINE, Limits(max_sessions=3))
        forward = executor.runner._forward

        def forward_few(embeds, segments, read):
            if any(segment.end - segment.start > 45 for segment in segments):
                raise torch.OutOfMemoryError("CUDA out of memory")
            return forward(embeds, segments, read)

        monkeypatch.setattr(executor.runner, "_forward", forward_few)
        ids = [executor.open(SessionConfig(threshold=1.0)) for _ in sizes]
        for session, size in zip(ids, sizes, strict=True):
            executor.push(session, noise(size, size))
        events = {session: [] for session in ids}
        while (tick := executor.tick(0.0)).work is not None:
            for session, event in tick.events:
                events[session].append(_plain(event))
        return list(events.values()), executor

    (first, large, second), executor = run(2, 9, 3)
    *_, failed, ended = large  # its first steps are short
    assert [type(failed), type(ended)] == [SessionFailed, SessionEnded]
    assert (failed.reason, failed.error) == (
        "out_of_memory", "there is not enough memory for a pass",
    )  # fmt: skip
    assert [first, second] == run(2, 3)[0]
    assert executor.runner.pool.free_rows == 1


def test_what_cannot_be_encoded_or_trimmed_for_want_of_memory_ends_its_session(monkeypatch):
    def fail(*args: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    for part in ("ModelRunner.encode", "KvPool.evict"):
        executor = Executor(ENGINE)
        failing, other = [executor.open(SessionConfig(threshold=1.0)) for _ in range(2)]
        with monkeypatch.context() as patch:
            patch.setattr(f"inference.passes.model_runner.{part}", fail)
            executor.push(failing, noise(30))
            events = []
            while (tick := executor.tick(0.0)).work is not None:
                events += tick.events
        assert [type(e) for s, e in events if s == failing][-2:] == [SessionFailed, SessionEnded]
        executor.push(other, noise(2))
        assert executor.tick(0.0).work == Encode((other,))
        assert {type(e) for _, e in executor.tick(0.0).events} == {Decided}


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
        "inference.passes.model_runner.ragged_forward",
        lambda *args: passes.append(1) or ragged_forward(*args),
    )
    executor = Executor(ENGINE)
    rows = [executor._sessions[executor.open()].row.index for _ in range(3)]
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
