"""Our model as a system: the live engine over items, many at a time, with every failure named."""

from __future__ import annotations

import logging
import time as clock
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from inference.decoder.sampling import SamplingConfig
from inference.engine import Engine
from inference.evaluate.outcome import Failure, Outcome, Piece, TimedReply
from inference.evaluate.systems.decoding import (
    EncodedRecording,
    answer_together,
    decode_together,
    encode,
    log_mel_of,
)
from inference.evaluate.task import MODEL, Item
from inference.events import Decided, ReplyEnded, ReplyText, SessionEvent
from inference.exchange import TooLongError
from inference.feed import feed
from inference.latency import ChunkCost, chunk_costs
from inference.limits import NonFiniteLogitsError, TimedOutError, is_out_of_memory
from inference.sessions.config import SessionConfig
from inference.sessions.lockstep import Lockstep
from soundflow.errors import UserError
from soundflow.protocol.timebase import TimeBase

log = logging.getLogger(__name__)

# Encoder outputs of so many chunks are held at once (14 minutes of audio at 0.4 s).
GROUP_CHUNKS = 2048


@dataclass(frozen=True)
class TimedSession:
    """The outcome of one live session, and the computation that each of its chunks took."""

    outcome: Outcome
    costs: list[ChunkCost]


@dataclass(frozen=True)
class Model:
    """The engine at one threshold.

    Attributes:
        at_once: how many items are decoded side by side; where a stream ends, the next one begins.
            1 gives each a live session of its own, in which the computation of every token is
            measured.
        timeout_s: seconds of computation that one item may take; side by side, its share of it.
        notes: filled with what did not go as planned but cost no item, such as a batch that did
            not fit into memory.
        poll: called between the passes of what is decoded side by side; what it raises, such as
            `Stopped`, ends the decoding.
    """

    engine: Engine
    threshold: float
    sampling: SamplingConfig
    at_once: int = 32
    timeout_s: float = 600.0
    notes: list[str] = field(default_factory=list, repr=False)
    poll: Callable[[], None] = lambda: None
    _encoded: dict[str, EncodedRecording] = field(default_factory=dict, repr=False)

    @property
    def name(self) -> str:
        return MODEL

    def at(self, threshold: float) -> Model:
        """The same model at another threshold; items that are encoded stay so."""
        return replace(self, threshold=threshold)

    def run(self, items: Sequence[Item[object]]) -> Iterator[tuple[str, Outcome]]:
        """Group by group, so that memory does not grow with the number of items."""
        exchanges = [item for item in items if item.exchange is not None]
        streams = [item for item in items if item.exchange is None]
        for alike in (exchanges, streams):
            for group in groups(alike, self.engine.spec.time):
                yield from self._run_group(group)

    def _run_group(self, group: Sequence[Item[object]]) -> Iterator[tuple[str, Outcome]]:
        """Items of one kind: streams, or offline exchanges."""
        # The longest first, so that none of them is left to the end, alone.
        left = sorted(group, key=lambda item: -item.n_samples)
        rows = self.at_once
        while left:
            rows = min(rows, len(left))
            alone = left[:1] if rows == 1 else []
            try:
                for item, outcome in [] if alone else self._side_by_side(left, rows):
                    left.remove(item)
                    yield item.id, outcome
            except Exception as error:
                self._encoded.clear()
                failed = f"{rows} items at once failed ({reason(error)})"
                if is_out_of_memory(error):
                    self._note(f"{failed}: decoding half as many at once")
                    rows = -(-rows // 2)
                else:  # whichever item it was, decoding it alone names it
                    self._note(f"{failed}: decoding them one by one")
                    alone = left[:rows]
            for item in alone:
                left.remove(item)
                yield item.id, self.run_alone(item)

    def _side_by_side(
        self, items: Sequence[Item[object]], rows: int
    ) -> Iterator[tuple[Item[object], Outcome]]:
        """Each stream as it ends, or the first ``rows`` exchanges. Those that take part are always
        the first ``rows`` that have not ended.
        """
        if items[0].exchange is not None:
            yield from self._answer(items[:rows])
            return
        unreadable = self._encode(items)
        yield from [(item, unreadable[item.id]) for item in items if item.id in unreadable]
        readable = [item for item in items if item.id not in unreadable]
        for place, stream in decode_together(
            self.engine, [self._encoded[item.id] for item in readable], rows, self.threshold,
            self.sampling, self.timeout_s, self.poll,
        ):  # fmt: skip
            outcome = outcome_of(stream.events, self.engine.spec.time)
            if stream.error is not None:
                outcome = replace(outcome, failure=failure_of(stream.error))
            yield readable[place], outcome

    def _answer(self, items: Sequence[Item[object]]) -> Iterator[tuple[Item[object], Outcome]]:
        found = answer_together(self.engine, items, self.sampling, self.timeout_s)
        for item in items:
            said = found[item.id]
            if isinstance(said, UserError):
                yield item, Outcome(failure=failure_of(said))
            else:
                yield item, Outcome((TimedReply(item.n_samples, said.text),))

    def _encode(self, items: Sequence[Item[object]]) -> dict[str, Outcome]:
        """Encodes what is not encoded yet, and forgets all others.

        Returns:
            The outcomes of items whose audio cannot be read.
        """
        if any(item.id not in self._encoded for item in items):
            self._encoded.clear()
        missing = [item for item in items if item.id not in self._encoded]
        unreadable, ids, systems, mels = {}, [], [], []
        for item in missing:
            self.poll()
            try:
                recording = item.open()
                mels.append(log_mel_of(self.engine, recording))
            except UserError as error:
                unreadable[item.id] = _unreadable(error)
                continue
            ids.append(item.id)
            own = recording.system
            systems.append(self.engine.system if own is None else own)
        for name, system, slots in zip(ids, systems, encode(self.engine, mels), strict=True):
            self._encoded[name] = EncodedRecording(slots, system)
        return unreadable

    def run_alone(self, item: Item[object]) -> Outcome:
        """One item through a live session of its own, which trims its memory where it must; an
        offline exchange by itself.
        """
        if item.exchange is not None:
            try:
                ((_, outcome),) = self._answer([item])
                return outcome
            except Exception as error:
                return Outcome(failure=failure_of(error))
        return self.run_session(item).outcome

    def run_session(self, item: Item[object]) -> TimedSession:
        """The same, with what each chunk cost."""
        events: list[SessionEvent] = []
        time = self.engine.spec.time
        deadline_s = clock.monotonic() + self.timeout_s
        try:
            recording = item.open()
            config = SessionConfig(recording.system, self.threshold, None, self.sampling)
            for output in feed(self.engine, Lockstep(self.engine, config), [recording]):
                events += output.events
                if clock.monotonic() > deadline_s:
                    raise TimedOutError(self.timeout_s)
        except Exception as error:
            log.warning("%s: %s", item.id, reason(error))
            log.debug("%s", item.id, exc_info=True)
            outcome = replace(outcome_of(events, time), failure=failure_of(error))
            return TimedSession(outcome, chunk_costs(events))
        return TimedSession(outcome_of(events, time, timed=True), chunk_costs(events))

    def _note(self, text: str) -> None:
        log.warning("%s", text)
        self.notes.append(text)


def groups(items: Sequence[Item[object]], time: TimeBase) -> Iterator[list[Item[object]]]:
    """Items in order, in groups whose encoder outputs are held at once."""
    group: list[Item[object]] = []
    chunks = 0
    for item in items:
        n = time.chunks_in(item.n_samples)
        if group and chunks + n > GROUP_CHUNKS:
            yield group
            group, chunks = [], 0
        group.append(item)
        chunks += n
    if group:
        yield group


def outcome_of(events: Sequence[SessionEvent], time: TimeBase, *, timed: bool = False) -> Outcome:
    """The outcome of a session; replies start at their decision in stream time, not compute time.

    Args:
        timed: whether the wall clock of the events means something.
    """
    arrived = {e.chunk: e.arrived_wall_s for e in events if isinstance(e, Decided)}
    p_response: list[float | None] = []
    pieces: dict[int, list[Piece]] = {}
    ended: dict[int, ReplyEnded] = {}
    spoke: list[int] = []
    for event in events:
        if isinstance(event, Decided):
            p_response += [None] * (event.chunk - len(p_response))  # dropped before it was decided
            p_response.append(None if event.stale else event.p_response)
            if event.speak:
                spoke.append(event.chunk)
        elif isinstance(event, ReplyText):
            wall_s = event.wall_s - arrived[event.chunk] if timed else None
            at = time.decision_time_samples(event.chunk)
            pieces.setdefault(event.chunk, []).append(Piece(event.text, at, wall_s))
        elif isinstance(event, ReplyEnded):
            ended[event.chunk] = event
    replies = tuple(
        TimedReply(
            time.decision_time_samples(chunk),
            ended[chunk].text if chunk in ended else "",
            ended[chunk].emotion if chunk in ended else "",
            tuple(pieces.get(chunk, ())),
        )
        for chunk in spoke
    )
    return Outcome(replies, None, tuple(p_response))


def failure_of(error: Exception) -> Failure:
    if isinstance(error, TooLongError):
        return Failure("too long", error.message)
    if isinstance(error, TimedOutError):
        return Failure("time-out", error.message)
    if is_out_of_memory(error):
        return Failure("out of memory", reason(error))
    if isinstance(error, UserError) and not isinstance(error, NonFiniteLogitsError):
        return Failure("unreadable audio", error.message)
    return Failure("crash", reason(error))


def reason(error: BaseException) -> str:
    """One line that names an exception."""
    said = error.message if isinstance(error, UserError) else str(error)
    return f"{type(error).__name__}: {' '.join(said.split())[:200]}"


def _unreadable(error: UserError) -> Outcome:
    return Outcome(failure=Failure("unreadable audio", error.message))
