"""A real engine of the smallest size, untrained: decisions are arbitrary but fixed; streams."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from inference.engine import Engine
from inference.sessions.memory import SessionMemory
from soundflow.model.config import AudioEncoderConfig, LmConfig, ModelConfig
from soundflow.model.interaction import AudioInteractionModel
from soundflow.protocol import layout
from soundflow.protocol.turns import Event, Reply
from soundflow.shards.reader import ShardSet
from soundflow.shards.schema import StreamRecord, StreamSample, quantise
from soundflow.shards.writer import write_index, write_shard
from soundflow.text.presets import stream_spec
from soundflow.text.tiny import tiny_tokenizer


def make_engine(seed: int = 0, max_positions: int = 1024) -> Engine:
    tokenizer = tiny_tokenizer()
    config = ModelConfig(
        audio_encoder=AudioEncoderConfig(
            width=32, layers=1, heads=2, ffn_width=64, max_positions=64
        ),
        lm=LmConfig(
            width=32, layers=2, heads=2, kv_heads=1, ffn_width=64,
            max_positions=max_positions, rope_theta=10_000.0, init_std=0.3,
        ),
    )  # fmt: skip
    state = torch.random.get_rng_state()
    torch.manual_seed(seed)
    model = AudioInteractionModel(config, tokenizer.table).eval()
    torch.random.set_rng_state(state)
    return Engine(
        model=model,
        tokenizer=tokenizer,
        spec=stream_spec(tokenizer),
        system="Answer what deserves it.",
        threshold=0.5,
        limit_positions=max_positions,
    )


def remembered_ids(memory: SessionMemory) -> tuple[int, ...]:
    """Every token in a memory: a legal layout up to the decision that is pending."""
    return (*memory.prefix, *memory.as_step().ids)


def make_stream(
    engine: Engine, name: str, n_chunks: int, replies: tuple[Reply, ...], task: str = "cues"
) -> StreamSample:
    """A loud event in front of every reply, and one that deserves none in front of the stream."""
    time, table = engine.spec.time, engine.spec.tokens
    rng = np.random.default_rng(n_chunks)
    audio = rng.normal(0, 0.003, n_chunks * time.chunk_samples)
    events = [Event("clink", 100, 900, 1000)]
    for reply in replies:
        end = time.decision_time_samples(reply.chunk) - 200
        audio[end - 3000 : end] += 0.2 * np.sin(np.arange(3000) * (0.2 + 0.05 * reply.chunk))
        events.append(Event("cue", end - 3000, end, end, True, (reply.text,)))
    record = StreamRecord(
        name, "online", "test", task, engine.system, len(audio), replies, tuple(events)
    )
    encode = engine.tokenizer.encode
    piece = layout.online_stream(
        table, time.slots_per_chunk, encode(engine.system), n_chunks,
        {r.chunk: (encode(r.text), r.emotion) for r in replies},
    )  # fmt: skip
    ids, roles = np.array(piece.ids, np.int32), np.array(piece.roles, np.int8)
    return StreamSample(record, quantise(audio.astype(np.float32)), ids, roles)


def write_split(engine: Engine, folder: Path, n_streams: int = 6) -> ShardSet:
    """Streams with one or two replies; every third holds nothing to answer."""
    made = []
    for i in range(n_streams):
        replies = (Reply(2, "Light on."), Reply(5, "Glass broke!", "urgent"))[: (i + 1) % 3]
        made.append(make_stream(engine, f"s{i}", 6 + i % 4, replies))
    info = write_shard(folder, 0, "key", made, engine.spec)
    write_index(folder, engine.spec, [info])
    return ShardSet(folder)
