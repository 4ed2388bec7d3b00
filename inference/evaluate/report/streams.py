"""Held-out streams for the report: which ones, and each with its audio, truth and replies."""

from __future__ import annotations

import numpy as np
from markupsafe import Markup

from inference.evaluate.outcome import Outcome
from inference.evaluate.systems.model import Model
from inference.evaluate.timing.halves import Half
from inference.evaluate.timing.measure import one_of_each_task
from inference.evaluate.timing.rows import is_exact, windows_of
from inference.evaluate.timing.triggers import match
from soundflow.audio.frontend import log_mel
from soundflow.protocol.spec import StreamSpec
from soundflow.report.timeline import Bar, Grade, ReplyMark, Span, StreamView, stream_view
from soundflow.shards.schema import StreamSample

Drawn = tuple[StreamSample, Outcome]


def instructive(half: Half, model: Model, wanted: int) -> list[Drawn]:
    """Streams to draw: those with most misses and false triggers, task by task, then others.

    A third of the places is kept for streams without a mistake, where there are any.
    """
    outcomes = half.outcomes(model.threshold)
    assert outcomes is not None
    rows = half.rows(model.threshold)
    mistakes = {i: n for i, r in enumerate(rows) if (n := r.misses + r.false + r.failed)}
    # What cannot be read cannot be shown.
    readable = [i for i, o in enumerate(outcomes) if o.failure is None or o.p_response]
    wrong = sorted((i for i in readable if i in mistakes), key=lambda i: -mistakes[i])
    order = [wrong[k] for k in one_of_each_task([half.items[i].reference for i in wrong])]
    right = [i for i in one_of_each_task(half.truths) if i not in mistakes and i in set(readable)]
    n_right = min(len(right), max(wanted // 3, wanted - len(wrong)))
    chosen = order[: wanted - n_right] + right[:n_right]
    return [(half.read(i), outcomes[i]) for i in chosen]


def stream_figure(
    sample: StreamSample, outcome: Outcome, spec: StreamSpec, threshold: float, window_s: float
) -> Markup:
    """The stream on one time axis, with a player."""
    time, record = spec.time, sample.record
    chunks = log_mel(sample.audio(), time, spec.front_end)
    spoke = {reply.at_samples for reply in outcome.replies}
    bars = [
        Bar(k * time.chunk_s, (k + 1) * time.chunk_s, p, time.decision_time_samples(k) in spoke)
        for k, p in enumerate(outcome.p_response)
    ]
    spans = [
        Span(
            time.seconds(e.on_samples),
            time.seconds(e.ready_samples),
            time.seconds(e.end_samples),
            e.kind.replace("_", " "),
            e.must_respond,
        )
        for e in record.events
    ]
    view = StreamView(
        title=record.task.replace("_", " "),
        note=" · ".join((record.id, *_mistakes(sample, outcome, spec, window_s))),
        audio=sample.audio(),
        rate_hz=time.sample_rate_hz,
        mel=np.concatenate(list(chunks), axis=1) if len(chunks) else None,
        bars=bars,
        threshold=threshold,
        spans=spans,
        said=_said(sample, outcome, spec, window_s),
    )
    return stream_view(view)


def _mistakes(
    sample: StreamSample, outcome: Outcome, spec: StreamSpec, window_s: float
) -> list[str]:
    """What went wrong, in words; nothing where all is right."""
    time = spec.time
    found = match(sample.record.events, outcome.replies, windows_of(time, window_s))
    counts = (
        ("miss", "misses", len(found.misses)),
        ("early reply", "early replies", len(found.early)),
        ("repeated reply", "repeated replies", len(found.repeats)),
        ("stray reply", "stray replies", len(found.strays)),
    )
    words = [f"{n} {one if n == 1 else many}" for one, many, n in counts if n]
    return [*words, str(outcome.failure)] if outcome.failure else words


def _said(
    sample: StreamSample, outcome: Outcome, spec: StreamSpec, window_s: float
) -> list[ReplyMark]:
    time, events = spec.time, sample.record.events
    windows = windows_of(time, window_s)
    answered = {j: i for i, j in match(events, outcome.replies, windows).hits}
    said = []
    for index, reply in enumerate(outcome.replies):
        grade: Grade = "false"
        if index in answered:
            exact = is_exact(reply.text or "", events[answered[index]].answers)
            grade = "right" if exact else "inexact"
        said.append(
            ReplyMark(time.seconds(reply.at_samples), reply.text or "", grade, reply.emotion)
        )
    return said
