"""Decodes held-out streams at one threshold or at many.

One decoding covers a range of thresholds: as long as no p(response) lies between two thresholds,
every decision, and so everything after it, is the same. Only streams outside their known ranges are
decoded again; with a confident model these are few.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from inference.batch import BatchStream, decode_batch
from inference.engine import Engine
from inference.evaluate.outcome import Outcome
from inference.evaluate.streams import TestStream, recording_of
from inference.evaluate.triggers import Onset
from inference.events import Decided, ReplyEnded, SessionEvent
from inference.feed import feed
from inference.policy import ModelPolicy
from inference.sampling import SamplingConfig
from inference.session import Session, SessionConfig
from soundflow.errors import UserError
from soundflow.protocol.timebase import TimeBase

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Run:
    """What a session did with one stream. ``failure`` names the crash that ended it early."""

    events: tuple[SessionEvent, ...]
    failure: str | None = None

    def holds_at(self, threshold: float) -> bool:
        """Whether a session with this threshold would have done the same."""
        if self.failure:
            return False
        decided = [e for e in self.events if isinstance(e, Decided) and e.p_response is not None]
        silent = max((e.p_response or 0.0 for e in decided if not e.speak), default=-1.0)
        spoke = min((e.p_response or 0.0 for e in decided if e.speak), default=2.0)
        return silent < threshold <= spoke


def outcome_of(run: Run, time: TimeBase) -> Outcome:
    """The outcome of a run; replies start at their decision in stream time, not compute time."""
    texts = {e.chunk: e.text for e in run.events if isinstance(e, ReplyEnded)}
    onsets = tuple(
        Onset(time.decision_time_samples(e.chunk), texts.get(e.chunk, ""))
        for e in run.events
        if isinstance(e, Decided) and e.speak
    )
    return Outcome(onsets, run.failure)


def sweep(
    engine: Engine,
    streams: Sequence[TestStream],
    thresholds: Sequence[float],
    sampling: SamplingConfig,
) -> dict[float, list[Run]]:
    """Every stream at every threshold: threshold -> one run a stream."""
    known: list[list[Run]] = [[] for _ in streams]
    runs: dict[float, list[Run]] = {}
    for threshold in thresholds:
        found = [next((r for r in k if r.holds_at(threshold)), None) for k in known]
        missing = [i for i, run in enumerate(found) if run is None]
        fresh = decode(engine, [streams[i] for i in missing], threshold, sampling)
        for i, run in zip(missing, fresh, strict=True):
            known[i].append(run)
            found[i] = run
        runs[threshold] = [run for run in found if run is not None]
    return runs


def decode(
    engine: Engine, streams: Sequence[TestStream], threshold: float, sampling: SamplingConfig
) -> list[Run]:
    """Decodes all streams in one batch; one by one if that fails, so that a crash costs one stream.

    Raises:
        UserError: if memory runs out.
    """
    if not streams:
        return []
    batch = [
        BatchStream(s.slots, s.record.system, ModelPolicy(threshold, sampling)) for s in streams
    ]
    found: list[list[SessionEvent] | None]
    try:
        found = decode_batch(engine, batch, sampling.max_reply_tokens)
    except Exception as error:
        _require_memory(error, f"decoding {len(streams)} streams at once")
        # Whichever stream it was, its own session below will name it.
        log.warning("decoding streams one by one, since together they failed: %r", error)
        found = [None] * len(streams)
    return [
        Run(tuple(events)) if events is not None else run_alone(engine, stream, threshold, sampling)
        for stream, events in zip(streams, found, strict=True)
    ]


def run_alone(
    engine: Engine, stream: TestStream, threshold: float, sampling: SamplingConfig
) -> Run:
    """One stream through its own live session, packet by packet. A crash is a result.

    Raises:
        UserError: if memory runs out.
    """
    events: list[SessionEvent] = []
    try:
        config = SessionConfig(stream.record.system, threshold, None, sampling)
        recording = recording_of(engine, stream.sample)
        for output in feed(engine, Session(engine, config), [recording]):
            events += output.events
    except Exception as error:
        _require_memory(error, f"decoding stream {stream.record.id}")
        return Run(tuple(events), f"{type(error).__name__}: {error}")
    return Run(tuple(events))


def _require_memory(error: Exception, doing: str) -> None:
    """Running out of memory is not a failure of one stream: it ends the evaluation."""
    # PyTorch's allocator of the CPU raises a plain RuntimeError.
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or "allocate memory" in str(error):
        raise UserError(
            f"memory ran out while {doing}", "lower streams_at_once, or free memory"
        ) from error
