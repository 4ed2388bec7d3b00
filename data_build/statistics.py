"""Counts over streams: small enough for the sidecar of a shard, and exactly additive.

Each shard counts its own streams while it is made, so the summary of a build of any size reads
sidecars alone. All numbers are integers; sums do not depend on the order of the shards.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from soundflow.protocol.layout import Role
from soundflow.protocol.timebase import TimeBase
from soundflow.shards.schema import StreamSample

Counts = dict[int, int]  # value, or lower edge of a bin -> how often

SILENCE_BIN_PERCENT = 5
_AROUND_REPLY = 2  # the emotion before a reply's text and TEXT_END behind it
_AROUND_ANSWER = 3  # an offline answer: ASSISTANT and TEXT_BEGIN before its text, TEXT_END behind


@dataclass
class TaskCount:
    """Counts of one task."""

    streams: int = 0
    samples: int = 0
    replies: int = 0


@dataclass
class Statistics:
    """Counts over streams.

    Attributes:
        tasks: "ability/task" -> its streams, audio and replies.
        events, silences: events of streams; chunks answered by KEEP_SILENCE. These two and the
            next three leave offline samples out.
        turns: foreground items a stream.
        chunks: length of a stream.
        silence: share of a stream's chunks answered by KEEP_SILENCE, in bins of 5 %.
        snr: drawn foreground-to-noise ratio of a noise track, in bins of 1 dB.
        reply_tokens: text tokens of a reply.
        emotions: emotion -> replies.
        spoken, refused: class of text -> how often one was to be spoken for a stream, and how often
            no rendering of it passed the check.
        limited: streams whose peak was limited.
        preprocessed: clips in streams that TFJP saw; ``hit_limit`` those that hit the limit of K
            passes.
    """

    tasks: dict[str, TaskCount] = field(default_factory=dict)
    events: int = 0
    silences: int = 0
    turns: Counts = field(default_factory=dict)
    chunks: Counts = field(default_factory=dict)
    silence: Counts = field(default_factory=dict)
    snr: Counts = field(default_factory=dict)
    reply_tokens: Counts = field(default_factory=dict)
    emotions: dict[str, int] = field(default_factory=dict)
    spoken: dict[str, int] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)
    limited: int = 0
    preprocessed: int = 0
    hit_limit: int = 0

    @property
    def streams(self) -> int:
        return sum(task.streams for task in self.tasks.values())

    @property
    def samples(self) -> int:
        return sum(task.samples for task in self.tasks.values())

    @property
    def replies(self) -> int:
        return sum(task.replies for task in self.tasks.values())

    def refusals(self) -> dict[str, tuple[int, int]]:
        """Class of text -> how many were refused, of how many; the largest share first."""
        found = {name: (n, self.spoken[name]) for name, n in self.refused.items()}
        return dict(sorted(found.items(), key=lambda one: (-one[1][0] / one[1][1], one[0])))

    def add(self, sample: StreamSample, time: TimeBase) -> None:
        """Counts one stream."""
        record = sample.record
        task = self.tasks.setdefault(f"{record.ability}/{record.task}", TaskCount())
        task.streams += 1
        task.samples += record.n_samples
        task.replies += len(record.replies)
        if record.kind == "online":
            chunks = time.chunks_in(record.n_samples)
            silent = chunks - len(record.replies)
            self.events += len(record.events)
            self.silences += silent
            _count(self.turns, sum(item.track == "foreground" for item in record.items))
            _count(self.chunks, chunks)
            percent = 100 * silent // max(chunks, 1)
            _count(self.silence, percent // SILENCE_BIN_PERCENT * SILENCE_BIN_PERCENT)
        for track in record.noise:
            _count(self.snr, int(np.floor(track.snr_db)))
        for n_tokens in reply_lengths(sample):
            _count(self.reply_tokens, n_tokens)
        for reply in record.replies:
            _count(self.emotions, reply.emotion)
        self.limited += record.peak_limited
        self.preprocessed += sum(item.hit_limit is not None for item in record.items)
        self.hit_limit += sum(bool(item.hit_limit) for item in record.items)

    def merge(self, other: Statistics) -> None:
        """Adds what ``other`` has counted."""
        for name, more in other.tasks.items():
            task = self.tasks.setdefault(name, TaskCount())
            task.streams += more.streams
            task.samples += more.samples
            task.replies += more.replies
        for name in (f.name for f in fields(self) if f.name != "tasks"):
            mine, theirs = getattr(self, name), getattr(other, name)
            if isinstance(mine, int):
                setattr(self, name, mine + theirs)
            else:
                for value, n in theirs.items():
                    _count(mine, value, n)

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Statistics:
        """The inverse of ``dataclasses.asdict``, also after JSON, which makes the keys text."""
        return _ADAPTER.validate_python(data)


_ADAPTER = TypeAdapter(Statistics)  # made once: a build reads the sidecars of all its shards


def merged(parts: Iterable[Statistics]) -> Statistics:
    """The sum of ``parts``."""
    total = Statistics()
    for part in parts:
        total.merge(part)
    return total


def reply_lengths(sample: StreamSample) -> list[int]:
    """Text tokens of each reply, in order: runs of REPLY targets without emotion and end."""
    around = _AROUND_REPLY if sample.record.kind == "online" else _AROUND_ANSWER
    said = np.concatenate(([0], (sample.roles == int(Role.REPLY)).astype(np.int8), [0]))
    edges = np.diff(said)
    lengths = np.nonzero(edges < 0)[0] - np.nonzero(edges > 0)[0]
    return [int(n) - around for n in lengths]


def _count(counts: dict[Any, int], value: int | str, n: int = 1) -> None:
    counts[value] = counts.get(value, 0) + n
