"""Replays a recorded session: the same audio, settings and schedule have to give the same events.

What a session in real time decided depends on what had arrived whenever the model was ready. That
is written in its events: the chunks that were stale, and the one that they were drained with::

    recorded   Decided 4 (speak)  reply  Decided 5 (stale)  Decided 6 (stale)  Decided 7
    replayed   push chunk 4              push chunks 5, 6 and 7 at once
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from itertools import zip_longest
from typing import Any

import numpy as np

from inference.engine import Engine
from inference.events import Decided, Overloaded, ReplyStarted, ReplyText, SessionEvent, to_json
from inference.infer.session_record import CheckpointIdentity, RecordedSession, identity_of
from inference.limits import Limits
from inference.sessions.executor import Executor
from inference.sessions.lockstep import Lockstep
from soundflow.errors import UserError

AT_ONCE = 1 << 16  # chunks: all that were drained together
# How far p(response) may move: other processors round otherwise, and batches of other sizes do.
P_TOLERANCE = {"fp32": 1e-4, "bf16": 2e-2}


@dataclass(frozen=True)
class Difference:
    """The first place where two sessions part; None where one of them has ended."""

    recorded: SessionEvent | None
    replayed: SessionEvent | None


@dataclass(frozen=True)
class Comparison:
    """A replay beside its recording.

    Attributes:
        events: how many were compared.
        decisions, other_decisions: chunks that both decided on, and how many of them differently.
        largest_gap: of p(response) over these chunks.
        first: the first difference.
        complete: whether the recording reached its end.
    """

    events: int
    decisions: int
    other_decisions: int
    largest_gap: float
    first: Difference | None
    complete: bool

    def to_json(self) -> dict[str, Any]:
        first = None
        if self.first is not None:
            sides = {"recorded": self.first.recorded, "replayed": self.first.replayed}
            first = {name: event and to_json(event) for name, event in sides.items()}
        return {**asdict(self), "first": first}


def require_same_checkpoint(session: RecordedSession, engine: Engine) -> None:
    """Checks that a session was recorded with this checkpoint.

    Raises:
        UserError: naming the fields that differ.
    """
    now, then = identity_of(engine), session.checkpoint
    differing = [
        f"{f.name} {getattr(then, f.name)} -> {getattr(now, f.name)}"
        for f in fields(CheckpointIdentity)
        if getattr(now, f.name) != getattr(then, f.name)
    ]
    if differing:
        raise UserError(
            f"{session.folder}: was recorded with another checkpoint: " + "; ".join(differing),
            "name that checkpoint, or compare the two with --compare",
        )


def replay(engine: Engine, recorded: RecordedSession) -> Iterator[SessionEvent]:
    """The events that the recorded audio causes now, under the recorded settings and schedule.

    A recording that breaks off is replayed as far as its audio goes.
    """
    if recorded.real_time:
        yield from _replay_live(engine, recorded)
        return
    session = Lockstep(engine, recorded.recipe.session)
    for packet in recorded.audio():
        yield from session.push(packet)
    if recorded.complete:
        yield from session.close()


def _replay_live(engine: Engine, recorded: RecordedSession) -> Iterator[SessionEvent]:
    """Gives the executor the chunks that were drained together at once, and says so."""
    base, look_ahead = engine.spec.time, engine.spec.look_ahead_samples
    executor = Executor(engine, Limits(1, AT_ONCE, AT_ONCE))
    session = executor.open(recorded.recipe.session)
    interrupted = recorded.interrupted
    audio, pushed = recorded.audio(), 0
    held = np.zeros(0, np.float32)
    for decided in decisions(recorded.events):
        wanted = (decided.chunk + 1) * base.chunk_samples + look_ahead - pushed
        while len(held) < wanted and (packet := next(audio, None)) is not None:
            held = np.concatenate((held, packet))
        complete = len(held) >= wanted
        executor.push(session, held[:wanted], during_reply=decided.stale)
        pushed, held = pushed + min(wanted, len(held)), held[wanted:]
        if not complete:
            break
        if not decided.stale:
            yield from _worked(executor, session, interrupted)
    if recorded.complete:
        rest = np.concatenate((held, *audio))
        executor.push(session, rest)
        executor.close(session)
        yield from _worked(executor, session, interrupted)


def _worked(
    executor: Executor, session: int, interrupted: Mapping[int, int]
) -> Iterator[SessionEvent]:
    """The events until there is nothing to do; replies are interrupted where they were."""
    tokens = 0
    while True:
        tick = executor.tick(0.0)
        for _, event in tick.events:
            yield event
            tokens = 0 if isinstance(event, ReplyStarted) else tokens
            tokens += isinstance(event, ReplyText)
            if (
                isinstance(event, ReplyStarted | ReplyText)
                and interrupted.get(event.chunk) == tokens
            ):
                executor.interrupt(session)
        if tick.work is None:
            return


def decisions(events: Iterable[SessionEvent]) -> Iterator[Decided]:
    """The decision of every chunk; stale ones were drained with the next that is not."""
    return (event for event in events if isinstance(event, Decided))


def compare(
    recorded: RecordedSession, replayed: Iterable[SessionEvent], *, to_the_end: bool = False
) -> Comparison:
    """Lays two sessions beside each other.

    Args:
        to_the_end: goes on behind the first difference, to count decisions.
    """
    tolerance = P_TOLERANCE[recorded.checkpoint.precision]
    first: Difference | None = None
    count = 0
    then: dict[int, Decided] = {}
    now: dict[int, Decided] = {}
    # How late a machine was belongs to it, not to the session.
    before = (event for event in recorded.events if not isinstance(event, Overloaded))
    for old, new in zip_longest(before, replayed):
        if not recorded.complete and (old is None or new is None):
            break
        count += 1
        for event, decisions in ((old, then), (new, now)):
            if isinstance(event, Decided):
                decisions[event.chunk] = event
        if first is None and not same(old, new, tolerance):
            first = Difference(old, new)
            if not to_the_end:
                break
    both = [(then[chunk], now[chunk]) for chunk in then.keys() & now.keys()]
    gaps = [abs(a.p_response - b.p_response) for a, b in both]
    return Comparison(
        events=count,
        decisions=len(both),
        other_decisions=sum(a.speak != b.speak for a, b in both),
        largest_gap=max(gaps, default=0.0),
        first=first,
        complete=recorded.complete,
    )


def same(old: SessionEvent | None, new: SessionEvent | None, tolerance: float) -> bool:
    """Whether two events are the same but for the time on the machine's clock."""
    if not isinstance(old, Decided) or not isinstance(new, Decided):
        return old == new
    close = abs(old.p_response - new.p_response) <= tolerance
    return close and replace(old, p_response=new.p_response) == new


def comparison_lines(found: Comparison) -> list[str]:
    """What is told of a comparison."""
    lines = [f"{found.events} events compared"]
    if not found.complete:
        lines[0] += "; the recording breaks off there"
    if found.first is None:
        return [f"{lines[0]}: the same"]
    then, now = found.first.recorded, found.first.replayed
    at = then or now
    assert at is not None
    lines.append(f"first difference at {at.time_s:.1f} s:")
    lines += [f"  recorded  {then or 'nothing more'}", f"  replayed  {now or 'nothing more'}"]
    lines.append(
        f"decisions: {found.other_decisions} of {found.decisions} differ; p(response) by up to "
        f"{found.largest_gap:.2g}"
    )
    return lines
