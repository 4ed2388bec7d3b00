"""Published conversations (StreamAudio-2M) as streams that can be audited.

A conversation is one stream: its recordings one after another, each answered in the chunk in which
it ends, or not at all. Every file of conversations counts as a split.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from data_build.audit.measure import AuditedSplit, AuditedStream
from data_build.sources.text_files import language_of
from soundflow.audio.files import duration_s, read_recording
from soundflow.errors import UserError
from soundflow.interop.conversations import CorpusItem, CorpusTurn, read_corpus
from soundflow.protocol.spec import StreamSpec
from soundflow.protocol.timebase import to_samples
from soundflow.protocol.turns import Event, Reply
from soundflow.shards.schema import MixedItem, SourceClip, StreamRecord, StreamSample, quantise

CORPUS = "published conversations"


def published_splits(data: Path, spec: StreamSpec) -> list[AuditedSplit]:
    """The files of conversations anywhere in a folder (or one file), each with its conversations.

    Raises:
        UserError: if there is none.
    """
    files = [data] if data.suffix == ".jsonl" and data.is_file() else sorted(data.rglob("*.jsonl"))
    if not files:
        raise UserError(
            f"{data}: holds neither a finished split nor *.jsonl",
            "name the output folder of a build, or a folder in the form of StreamAudio-2M",
        )
    splits = []
    for file in files:
        name = file.relative_to(data).with_suffix("").as_posix() if file != data else file.stem
        with file.open("rb") as lines:
            count = sum(1 for line in lines if line.strip())
        splits.append(AuditedSplit(name, count, _of(file, name, spec)))
    return splits


def _of(file: Path, name: str, spec: StreamSpec) -> Iterator[AuditedStream]:
    for item in read_corpus(file):
        record = _record(item, file.parent, spec)
        yield AuditedStream(name, record, spec, partial(_sample, record, item, file.parent))


def _record(item: CorpusItem, folder: Path, spec: StreamSpec) -> StreamRecord:
    time = spec.time
    items, events, replies, at = list[MixedItem](), list[Event](), list[Reply](), 0
    for turn in item.turns:
        end = at + _length(folder / turn.audio_path)
        chunk = time.reply_chunk(end)
        answers = () if turn.silent else (turn.assistant,)
        events.append(Event(turn.scene_type or "turn", at, end, end, bool(answers), answers))
        if answers and not any(reply.chunk == chunk for reply in replies):
            replies.append(Reply(chunk, turn.assistant, turn.emotion))
        recording = str(folder / turn.audio_path)
        clip = SourceClip(recording, CORPUS, "", recording=recording)
        items.append(_item(clip, turn, at, end, (chunk,) if answers else ()))
        at = end
    return StreamRecord(
        item.id, "online", item.stream_scene_type or "not stated", _task(item), "", at,
        tuple(replies), tuple(events), items=tuple(items),
    )  # fmt: skip


def _item(
    clip: SourceClip, turn: CorpusTurn, at: int, end: int, chunks: tuple[int, ...]
) -> MixedItem:
    what = turn.scene_type or "turn"
    return MixedItem(
        clip, what, "foreground", at, end - at, 0.0, at, end,
        text=turn.user, language=language_of(turn.user), reply_chunks=chunks,
    )  # fmt: skip


def _task(item: CorpusItem) -> str:
    return next((turn.scene_type for turn in item.turns if turn.scene_type), "not stated")


def _length(path: Path) -> int:
    return max(1, to_samples(duration_s(path)))


def _sample(record: StreamRecord, item: CorpusItem, folder: Path) -> StreamSample:
    pcm = np.zeros(record.n_samples, np.int16)
    for turn, mixed in zip(item.turns, record.items, strict=True):
        samples = read_recording(folder / turn.audio_path).samples[: mixed.n_samples]
        first = mixed.start_samples
        pcm[first : first + len(samples)] = quantise(np.clip(samples, -1.0, 1.0))
    none = np.zeros(0)
    return StreamSample(record, pcm, none.astype(np.int32), none.astype(np.int8))
