"""A held-out stream for the report: audio, ground truth, decisions and replies."""

from __future__ import annotations

import numpy as np
from markupsafe import Markup

from inference.evaluate.metrics import is_exact, windows_of
from inference.evaluate.sweep import Run, outcome_of
from inference.evaluate.triggers import match
from inference.events import Decided, ReplyEnded
from soundflow.audio.frontend import log_mel
from soundflow.protocol.spec import StreamSpec
from soundflow.report.timeline import Bar, Grade, ReplyMark, Span, StreamView, stream_view
from soundflow.shards.schema import StreamSample


def stream_figure(
    sample: StreamSample, run: Run, spec: StreamSpec, threshold: float, window_s: float
) -> Markup:
    """The stream on one time axis, with a player."""
    time, record = spec.time, sample.record
    chunks = log_mel(sample.audio(), time, spec.front_end)
    bars = [
        Bar(e.chunk * time.chunk_s, (e.chunk + 1) * time.chunk_s, e.p_response, e.speak)
        for e in run.events
        if isinstance(e, Decided)
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
        note=" · ".join((record.id, *_mistakes(sample, run, spec, window_s))),
        audio=sample.audio(),
        rate_hz=time.sample_rate_hz,
        mel=np.concatenate(list(chunks), axis=1) if len(chunks) else None,
        bars=bars,
        threshold=threshold,
        spans=spans,
        said=_said(sample, run, spec, window_s),
    )
    return stream_view(view)


def _mistakes(sample: StreamSample, run: Run, spec: StreamSpec, window_s: float) -> list[str]:
    """What went wrong, in words; nothing where all is right."""
    time = spec.time
    onsets = outcome_of(run, time).onsets
    found = match(sample.record.events, onsets, windows_of(time, window_s))
    counts = (
        ("miss", "misses", len(found.misses)),
        ("early reply", "early replies", len(found.early)),
        ("repeated reply", "repeated replies", len(found.repeats)),
        ("stray reply", "stray replies", len(found.strays)),
    )
    words = [f"{n} {one if n == 1 else many}" for one, many, n in counts if n]
    return [*words, run.failure] if run.failure else words


def _said(sample: StreamSample, run: Run, spec: StreamSpec, window_s: float) -> list[ReplyMark]:
    time, events = spec.time, sample.record.events
    outcome = outcome_of(run, time)
    windows = windows_of(time, window_s)
    answered = {j: i for i, j in match(events, outcome.onsets, windows).hits}
    emotions = {e.chunk: e.emotion for e in run.events if isinstance(e, ReplyEnded)}
    said = []
    for index, onset in enumerate(outcome.onsets):
        grade: Grade = "false"
        if index in answered:
            exact = is_exact(onset.text or "", events[answered[index]].answers)
            grade = "right" if exact else "inexact"
        chunk = onset.at_samples // time.chunk_samples - 1
        at_s = time.seconds(onset.at_samples)
        said.append(ReplyMark(at_s, onset.text or "", grade, emotions.get(chunk, "")))
    return said
