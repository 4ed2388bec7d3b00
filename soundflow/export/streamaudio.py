"""Our streams as StreamAudio-2M: one line for each stream, one WAV for each turn.

A stream is cut after every chunk that is answered. The audio between two cuts is the audio of that
turn; after the last answer, the rest of the stream becomes a turn without response. Nothing is
lost: the WAVs of a line, joined, are the stream, and every reply belongs to the last chunk of its
WAV::

    stream   |--0--|--1--|--2--|--3--|--4--|--5--|     replies after chunks 1 and 4
    turns    |    0.wav  |      1.wav      |2.wav|     "...", "...", <no need to response>
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import soundfile

from soundflow.atomic import atomic_write
from soundflow.interop.conversations import NO_RESPONSE, CorpusItem, CorpusTurn, write_corpus
from soundflow.protocol.timebase import TimeBase
from soundflow.protocol.turns import Event
from soundflow.shards.reader import ShardSet
from soundflow.shards.schema import StreamSample

CORPUS_FILE = "streams.jsonl"


def export_streamaudio(shards: ShardSet, folder: Path) -> int:
    """Writes every online stream of ``shards`` to ``folder``; the JSONL appears last.

    Returns:
        How many streams were written. Offline samples have no place in this form.
    """
    return write_corpus(folder / CORPUS_FILE, _items(shards, folder))


def turns_of(sample: StreamSample, time: TimeBase) -> Iterator[tuple[slice, CorpusTurn]]:
    """The turns of a stream, each with its span in samples. Their audio paths are empty."""
    record = sample.record
    start = 0
    for reply in sorted(record.replies, key=lambda r: r.chunk):
        end = time.decision_time_samples(reply.chunk)
        events = _event_names(record.events, start, end)
        yield slice(start, end), CorpusTurn(events, reply.text, reply.emotion, record.task, "")
        start = end
    if start < record.n_samples:
        events = _event_names(record.events, start, record.n_samples)
        silent = CorpusTurn(events, NO_RESPONSE, "normal", record.task, "")
        yield slice(start, record.n_samples), silent


def _items(shards: ShardSet, folder: Path) -> Iterator[CorpusItem]:
    for position in range(len(shards)):
        sample = shards.read(position)
        if sample.record.kind != "online":
            continue
        turns = []
        for number, (span, turn) in enumerate(turns_of(sample, shards.spec.time)):
            path = Path("audio") / f"{position:06}" / f"{number}.wav"
            with atomic_write(folder / path) as file:
                rate_hz = shards.spec.time.sample_rate_hz
                soundfile.write(file, sample.pcm[span], rate_hz, "PCM_16", format="WAV")
            turns.append(
                CorpusTurn(turn.user, turn.assistant, turn.emotion, turn.scene_type, str(path))
            )
        yield CorpusItem(sample.record.id, sample.record.ability, tuple(turns))


def _event_names(events: tuple[Event, ...], start: int, end: int) -> str:
    """What happens in a turn, by the names that the stream gives its events."""
    return "; ".join(e.kind for e in events if start < e.end_samples <= end)
