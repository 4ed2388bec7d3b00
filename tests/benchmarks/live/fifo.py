"""Listening during replies, against a session that answers every chunk in turn."""

from __future__ import annotations

import numpy as np

from inference.decoder.dialogue_decoder import Drain, InTurn
from inference.decoder.sampling import SamplingConfig
from inference.engine import Engine
from inference.events import Decided, ReplyEnded, ReplyText, SessionEvent
from inference.limits import Limits
from inference.sessions.config import SessionConfig
from inference.sessions.executor import Executor
from tests.benchmarks.live.play import SeededReplies, fixed, play
from tests.benchmarks.live.table import chunks_of_noise, say

SPEAKING_TOKENS_A_SECOND = 4.0


def fifo(engine: Engine) -> None:
    """A decoder of 60 ms a pass and an encoder of 30 ms a batch: together a quarter of a chunk.

    The clock is simulated, so a model of any size does. Five minutes, a reply every half minute:
    in turn, too, the session catches up with the clock.
    """
    found = {}
    for name, order in (("FIFO", Drain()), ("in turn", InTurn())):
        table = engine.spec.tokens
        executor = Executor(engine, Limits(max_sessions=1), order)
        policy = SeededReplies(np.random.default_rng(7), 0.015, (50, 200), table.normal,
                               table.text_end)  # fmt: skip
        sampling = SamplingConfig(max_reply_tokens=300, max_repeats=None)
        session = executor.open(SessionConfig(sampling=sampling), 0.0, policy)
        events = play(executor, [session], chunks_of_noise(engine, 750), fixed(0.06, 0.03))
        found[name] = _latencies(events[session])
    (a, b) = found["FIFO"], found["in turn"]
    say("FIFO: chunk to its decision, mean", f"{b[0] / a[0]:.1f}x ({a[0]:.2f} s, {b[0]:.2f} s)",
        ">= 2.5x (paper 2.1x)")  # fmt: skip
    say("FIFO: end of reply to decision on the newest", f"{b[1] / a[1]:.1f}x "
        f"({a[1]:.2f} s, {b[1]:.2f} s)", ">= 5x (paper 4.5x)")  # fmt: skip
    say("FIFO: stalled share of speaking time", f"{100 * a[2]:.1f} % ({100 * b[2]:.1f} %)",
        "0.0 %")  # fmt: skip


def _latencies(events: list[SessionEvent]) -> tuple[float, float, float]:
    """Mean latency of decisions (those made by silence left out), of resuming, and stalls."""
    waits, resumes, gaps = [], [], []
    ended: float | None = None
    last_token: float | None = None
    for event in events:
        if isinstance(event, Decided):
            late = event.wall_s - event.arrived_wall_s
            if not event.stale:
                waits.append(late)
            # Caught up with the clock: nothing newer than a chunk waits.
            if ended is not None and not event.stale and late < 0.8:
                resumes.append(event.wall_s - ended)
                ended = None
            if event.speak:
                last_token = None
        elif isinstance(event, ReplyText):
            if last_token is not None:
                gaps.append(event.wall_s - last_token)
            last_token = event.wall_s
        elif isinstance(event, ReplyEnded) and ended is None:
            ended = event.wall_s
    stalled = sum(max(0.0, g - 1 / SPEAKING_TOKENS_A_SECOND) for g in gaps)
    spoken = sum(max(g, 1 / SPEAKING_TOKENS_A_SECOND) for g in gaps)
    return float(np.mean(waits)), float(np.mean(resumes)), stalled / max(spoken, 1e-9)
