"""What is counted of every stream: small enough for the sidecar of a shard, and added up exactly.

Each shard counts its own streams while it is made, so the report of a build of any size reads
sidecars alone. All numbers are integers; sums do not depend on the order of the shards.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from soundflow.protocol.layout import Role
from soundflow.protocol.timebase import TimeBase
from soundflow.shards.schema import StreamRecord, StreamSample

Counts = dict[int, int]  # value, or lower edge of a bin -> how often

SILENCE_BIN_PERCENT = 5
_AROUND_REPLY = 2  # the emotion before a reply's text and TEXT_END behind it
_AROUND_ANSWER = 3  # an offline answer: ASSISTANT and TEXT_BEGIN before its text, TEXT_END behind


@dataclass
class TaskCount:
    """What came of one task."""

    streams: int = 0
    samples: int = 0
    replies: int = 0


@dataclass
class Source:
    """A clip that streams are made of, and in how many."""

    corpus: str
    licence: str
    attribution: str
    streams: int = 0


@dataclass
class Statistics:
    """Counts over streams.

    Attributes:
        tasks: "ability/task" -> its streams, audio and replies.
        turns: foreground items a stream; this and the next two leave offline samples out.
        chunks: length of a stream.
        silence: share of a stream's chunks answered by KEEP_SILENCE, in bins of 5 %.
        snr: drawn foreground-to-noise ratio of a noise track, in bins of 1 dB.
        reply_tokens: text tokens of a reply.
        emotions: emotion -> replies.
        clips: id -> where a clip came from.
        preprocessed: clips in streams that TFJP saw; ``hit_limit`` those that it left at K passes.
    """

    tasks: dict[str, TaskCount] = field(default_factory=dict)
    turns: Counts = field(default_factory=dict)
    chunks: Counts = field(default_factory=dict)
    silence: Counts = field(default_factory=dict)
    snr: Counts = field(default_factory=dict)
    reply_tokens: Counts = field(default_factory=dict)
    emotions: dict[str, int] = field(default_factory=dict)
    clips: dict[str, Source] = field(default_factory=dict)
    preprocessed: int = 0
    hit_limit: int = 0

    def add(self, sample: StreamSample, time: TimeBase) -> None:
        record = sample.record
        task = self.tasks.setdefault(f"{record.ability}/{record.task}", TaskCount())
        task.streams += 1
        task.samples += record.n_samples
        task.replies += len(record.replies)
        items = record.provenance.get("items", [])
        chunks = time.chunks_in(record.n_samples)
        if record.kind == "online":
            _count(self.turns, sum(item["track"] == "foreground" for item in items))
            _count(self.chunks, chunks)
            percent = 100 * (chunks - len(record.replies)) // max(chunks, 1)
            _count(self.silence, percent // SILENCE_BIN_PERCENT * SILENCE_BIN_PERCENT)
        for noise in _noise(record):
            _count(self.snr, int(np.floor(noise["snr_db"])))
        for n_tokens in reply_lengths(sample):
            _count(self.reply_tokens, n_tokens)
        for reply in record.replies:
            self.emotions[reply.emotion] = self.emotions.get(reply.emotion, 0) + 1
        for name, source in sources_of(record).items():
            self.clips.setdefault(name, source).streams += 1
        done = [item["tfjp"] for item in items if "tfjp" in item]
        self.preprocessed += len(done)
        self.hit_limit += sum(bool(report["hit_limit"]) for report in done)


def reply_lengths(sample: StreamSample) -> list[int]:
    """Text tokens of each reply, in order: runs of REPLY targets without what stands around."""
    around = _AROUND_REPLY if sample.record.kind == "online" else _AROUND_ANSWER
    said = np.concatenate(([0], (sample.roles == int(Role.REPLY)).astype(np.int8), [0]))
    edges = np.diff(said)
    lengths = np.nonzero(edges < 0)[0] - np.nonzero(edges > 0)[0]
    return [int(n) - around for n in lengths]


def sources_of(record: StreamRecord) -> dict[str, Source]:
    """The recordings that a stream is made of, by clip id."""
    found = {
        item["clip"]: Source(item["corpus"], item["licence"], item["attribution"])
        for item in record.provenance.get("items", [])
    }
    for noise in _noise(record):
        for name, origin in zip(noise["clips"], noise["origins"], strict=True):
            found[name] = Source(**origin)
    return found


def merged(parts: Iterable[Mapping[str, Any]]) -> Statistics:
    """Adds up what `dataclasses.asdict` made of the statistics of shards, also after JSON."""
    total = Statistics()
    for part in parts:
        for name, one in part["tasks"].items():
            task = total.tasks.setdefault(name, TaskCount())
            for key, value in one.items():
                setattr(task, key, getattr(task, key) + value)
        for field_name in ("turns", "chunks", "silence", "snr", "reply_tokens"):
            counts: Counts = getattr(total, field_name)
            for value, n in part[field_name].items():  # JSON made the values text
                _count(counts, int(value), n)
        for emotion, n in part["emotions"].items():
            total.emotions[emotion] = total.emotions.get(emotion, 0) + n
        for name, source in part["clips"].items():
            known = total.clips.setdefault(name, Source(**{**source, "streams": 0}))
            known.streams += source["streams"]
        total.preprocessed += part["preprocessed"]
        total.hit_limit += part["hit_limit"]
    return total


def _count(counts: Counts, value: int, n: int = 1) -> None:
    counts[value] = counts.get(value, 0) + n


def _noise(record: StreamRecord) -> list[dict[str, Any]]:
    tracks: list[dict[str, Any]] = record.provenance.get("mix", {}).get("noise", [])
    return tracks
