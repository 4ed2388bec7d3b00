"""Our streams as StreamAudio-2M: one line for each stream, one WAV for each turn.

A stream is cut after every chunk that is answered. The audio between two cuts is the audio of that
turn; after the last answer, the rest of the stream becomes a turn without response. Nothing is
lost: the WAVs of a line, joined, are the stream, and every reply belongs to the last chunk of its
WAV::

    stream   |--0--|--1--|--2--|--3--|--4--|--5--|     replies after chunks 1 and 4
    turns    |    0.wav  |      1.wav      |2.wav|     "...", "...", <no need to response>
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import soundfile

from soundflow.atomic import atomic_write
from soundflow.interop.conversations import NO_RESPONSE, CorpusItem, CorpusTurn, write_corpus
from soundflow.protocol.timebase import TimeBase
from soundflow.shards.reader import ShardSet
from soundflow.shards.schema import StreamRecord, StreamSample

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
        heard = _heard(record, start, end)
        yield slice(start, end), CorpusTurn(heard, reply.text, reply.emotion, record.task, "")
        start = end
    if start < record.n_samples:
        heard = _heard(record, start, record.n_samples)
        silent = CorpusTurn(heard, NO_RESPONSE, "normal", record.task, "")
        yield slice(start, record.n_samples), silent


def _items(shards: ShardSet, folder: Path) -> Iterator[CorpusItem]:
    for position in range(len(shards)):
        sample = shards.read(position)
        if sample.record.kind != "online":
            continue
        turns = []
        for number, (span, turn) in enumerate(turns_of(sample, shards.spec.time)):
            path = Path("audio") / f"{position:06}" / f"{number}.wav"
            wav = io.BytesIO()  # libsndfile does not say when a disk is full
            rate_hz = shards.spec.time.sample_rate_hz
            soundfile.write(wav, sample.pcm[span], rate_hz, "PCM_16", format="WAV")
            with atomic_write(folder / path) as file:
                file.write(wav.getbuffer())
            turns.append(
                CorpusTurn(turn.user, turn.assistant, turn.emotion, turn.scene_type, str(path))
            )
        yield CorpusItem(sample.record.id, sample.record.ability, tuple(turns))


def _heard(record: StreamRecord, start: int, end: int) -> str:
    """What ends in a turn: the words of speech, and what the stream calls its sounds."""
    items = sorted(record.items, key=lambda item: item.end_samples)
    return "; ".join(i.text or i.what for i in items if start < i.end_samples <= end)
