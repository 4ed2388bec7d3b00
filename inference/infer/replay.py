"""Replays a recorded session: the same audio, settings and schedule have to give the same events.

What a session in real time decided depends on what had arrived whenever the model was ready. That
is written in its events: the chunks that were stale, and the one that they were drained with::

    recorded   Decided 4 (speak)  reply  Decided 5 (stale)  Decided 6 (stale)  Decided 7
    replayed   push chunk 4              push chunks 5, 6 and 7 at once
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields, replace
from itertools import zip_longest
from typing import Any

from inference.engine import Engine
from inference.events import Decided, SessionEvent, to_json
from inference.infer.session_record import CheckpointIdentity, RecordedSession, identity_of
from inference.lockstep import Lockstep
from soundflow.errors import UserError

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
    session = Lockstep(engine, recorded.recipe.session)
    for packet in recorded.audio():
        yield from session.push(packet)
    if recorded.complete:
        yield from session.close()


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
    for old, new in zip_longest(recorded.events, replayed):
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
