"""Sample streams of a build for the report: audio, events, turns and decisions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from markupsafe import Markup

from data_build.labelling.policy import Policy
from data_build.report.plans import plan_text
from data_build.wording.wording import Wording
from soundflow.audio.frontend import log_mel
from soundflow.protocol.spec import StreamSpec
from soundflow.protocol.timebase import TimeBase
from soundflow.report.markup import join, number, table, tag
from soundflow.report.timeline import Bar, ReplyMark, Span, StreamView, stream_view
from soundflow.shards.reader import ShardSet
from soundflow.shards.schema import StreamRecord, StreamSample

STREAMS = 32  # one of each task and each offline form
LEAST_STREAMS = 6
_SEARCHED = 400
_LONGEST = 44  # letters of what is said, in the picture


def figures(output: Path, splits: Sequence[str], policy: Policy, wording: Wording) -> Markup:
    """One stream of every task, found among the first of each split; more of them if few tasks."""
    chosen = list(choose([ShardSet(output / split) for split in splits]))
    if not chosen:
        return tag("p", "no stream was made", class_="empty")
    return join(
        stream_figure(shards.read(at), shards.spec, policy, wording) for shards, at in chosen
    )


def choose(shard_sets: Sequence[ShardSet]) -> Iterator[tuple[ShardSet, int]]:
    """Positions to show: the first stream of each task, then others until there are a few."""
    seen: set[str] = set()
    others: list[tuple[ShardSet, int]] = []
    shown = 0
    for shards in shard_sets:
        for at in range(min(len(shards), _SEARCHED)):
            record = shards.record(at)
            if record.task not in seen and shown < STREAMS:
                seen.add(record.task)
                shown += 1
                yield shards, at
            elif len(others) < LEAST_STREAMS:
                others.append((shards, at))
    yield from others[: max(0, LEAST_STREAMS - shown)]


def stream_figure(
    sample: StreamSample, spec: StreamSpec, policy: Policy, wording: Wording
) -> Markup:
    """The stream on one time axis with a player, its plan in words, and what it was made from."""
    time, record = spec.time, sample.record
    audio = sample.audio()
    title = f"{plain_words(record.ability)}: {plain_words(record.task)}"
    if not len(audio):
        heading = (tag("h3", title), tag("span", _note(sample, spec), class_="note"))
        return tag("article", tag("header", join(heading)), class_="stream")
    chunks = log_mel(audio, time, spec.front_end)
    speaking = {reply.chunk for reply in record.replies}
    online = record.kind == "online"
    n_chunks = time.chunks_in(record.n_samples) if online else 0
    view = StreamView(
        title=title,
        note=_note(sample, spec),
        audio=audio,
        rate_hz=time.sample_rate_hz,
        mel=np.concatenate(list(chunks), axis=1) if len(chunks) else None,
        bars=[
            Bar(i * time.chunk_s, (i + 1) * time.chunk_s, float(i in speaking), i in speaking)
            for i in range(n_chunks)
        ],
        threshold=None,
        spans=_spans(record, time),
        said=[
            ReplyMark(
                time.seconds(time.decision_time_samples(r.chunk)), r.text, "unknown", r.emotion
            )
            for r in record.replies
        ],
    )
    plan = _plan(record, time, policy, wording) if online else Markup("")
    return join((stream_view(view), plan, _made_from(sample, spec)))


def _plan(record: StreamRecord, time: TimeBase, policy: Policy, wording: Wording) -> Markup:
    text = tag("pre", plan_text(record, time, policy, wording), style="white-space:pre-wrap")
    folded = join((tag("summary", "what happens, and why it is answered"), text))
    return tag("details", folded, style="margin:-10px 16px 12px")


def _spans(record: StreamRecord, time: TimeBase) -> list[Span]:
    """The events; the first one of a spoken item is named by what is said."""
    spoken = [
        (item.start_samples, item.start_samples + item.n_samples, item.text)
        for item in record.items
        if item.track == "foreground" and item.text
    ]
    spans = []
    for event in record.events:
        name = plain_words(event.kind)
        for one in spoken:
            if one[0] <= event.on_samples < one[1]:
                text = one[2]
                name = f"“{text}”" if len(text) <= _LONGEST else f"“{text[: _LONGEST - 1]}…”"
                spoken.remove(one)
                break
        on, ready, end = event.on_samples, event.ready_samples, event.end_samples
        times = (time.seconds(on), time.seconds(ready), time.seconds(end))
        spans.append(Span(*times, name, event.must_respond))
    return spans


def _note(sample: StreamSample, spec: StreamSpec) -> str:
    record = sample.record
    parts = [record.id, f"{spec.time.seconds(record.n_samples):.1f} s", f"{len(sample.ids)} tokens"]
    offline = record.offline
    if offline:
        parts += ["offline", f"asked: “{offline.user}”" if offline.user else "no question"]
        parts.append(f"answered: “{offline.answer}”")
    if record.system:
        parts.append(f"instruction: “{record.system}”")
    return " · ".join(parts)


def _made_from(sample: StreamSample, spec: StreamSpec) -> Markup:
    """The clips and noises of a stream, with level and licence."""
    record = sample.record
    rows = [
        [
            plain_words(item.what),
            long_text(item.text),
            long_text(item.clip.id),
            item.track,
            f"{spec.time.seconds(item.start_samples):.2f} s",
            f"{number(item.gain_db, 1)} dB",
            long_text(item.clip.corpus),
            long_text(item.clip.licence),
        ]
        for item in record.items
    ]
    for noise in record.noise:
        for clip in noise.clips:
            rows.append(
                [
                    "noise", Markup(""), long_text(clip.id), "noise", "throughout",
                    f"SNR {noise.snr_db:.1f} dB", long_text(clip.corpus), long_text(clip.licence),
                ]
            )  # fmt: skip
    if not rows:
        return Markup("")
    head = ["what", "text", "clip", "track", "from", "level", "corpus", "licence"]
    summary = tag("summary", f"made from {len(rows)} clips")
    return tag("details", join((summary, table(head, rows))), style="margin:-10px 16px 24px")


def long_text(text: str) -> Markup:
    """Text that may be broken anywhere, in the cell of a table."""
    return tag("span", text, style="white-space:normal;overflow-wrap:anywhere")


def plain_words(name: str) -> str:
    """A name of the code as words."""
    return name.replace("_", " ")
