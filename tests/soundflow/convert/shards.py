"""A small split of built data."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from soundflow.protocol.layout import offline_answer, offline_prefix, offline_user, online_stream
from soundflow.protocol.spec import StreamSpec
from soundflow.protocol.turns import Event, Reply
from soundflow.shards.schema import StreamRecord, StreamSample, quantise
from soundflow.shards.writer import write_index, write_shard
from soundflow.text.tiny import tiny_tokenizer

TOKENIZER = tiny_tokenizer()
SPEC = StreamSpec(tokenizer=TOKENIZER.fingerprint, tokens=TOKENIZER.table)
REPLIES = (Reply(1, "Light on, 好.", "urgent"), Reply(3, "Two.", "happy"))
EVENTS = (
    Event("turn on the light", 10, 6000, 7000, True, ("Light on, 好.",)),
    Event("rain", 8000, 9000, 20000),
    Event("two beeps", 20000, 24000, 25000, True, ("Two.",)),
)


def online(seed: int, replies: tuple[Reply, ...] = REPLIES, n_chunks: int = 5) -> StreamSample:
    audio = np.random.default_rng(seed).normal(size=n_chunks * 6400).astype(np.float32) * 0.1
    turns = {r.chunk: (TOKENIZER.encode(r.text), r.emotion) for r in replies}
    piece = online_stream(SPEC.tokens, 10, TOKENIZER.encode("Listen."), n_chunks, turns)
    record = StreamRecord(
        f"s{seed:03d}", "online", "voice chatting", "commands", "Listen.", len(audio), replies,
        EVENTS if n_chunks == 5 else (),
    )  # fmt: skip
    ids, roles = np.array(piece.ids, np.int32), np.array(piece.roles, np.int8)
    return StreamSample(record, quantise(audio), ids, roles)


def text_only() -> StreamSample:
    table = SPEC.tokens
    piece = offline_prefix(table, TOKENIZER.encode("Answer."))
    piece += offline_user(table, TOKENIZER.encode("2 + 2?"))
    piece += offline_answer(table, TOKENIZER.encode("4"))
    record = StreamRecord("t0", "offline", "text", "T_T", "Answer.", 0)
    ids, roles = np.array(piece.ids, np.int32), np.array(piece.roles, np.int8)
    return StreamSample(record, np.zeros(0, np.int16), ids, roles)


def write_split(folder: Path) -> Path:
    samples = [online(0), online(1, (), 2), online(2, (Reply(1, "Hi."),), 2), text_only()]
    write_index(folder, SPEC, [write_shard(folder, 0, "work", samples, SPEC)])
    return folder
