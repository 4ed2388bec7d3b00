"""Streams that a small model can learn in seconds: a high tone is answered, a low one is not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from soundflow.model.config import AudioEncoderConfig, LmConfig, ModelConfig
from soundflow.protocol.layout import (
    Piece,
    offline_answer,
    offline_prefix,
    offline_user,
    online_stream,
)
from soundflow.protocol.spec import StreamSpec
from soundflow.protocol.turns import Event, Reply
from soundflow.shards.schema import StreamRecord, StreamSample, quantise
from soundflow.shards.writer import write_index, write_shard
from soundflow.text.presets import stream_spec
from soundflow.text.tiny import tiny_tokenizer
from soundflow.text.tokenizer import TextTokenizer

CHUNK = 6400
ANSWERS = {1800.0: "High tone.", 300.0: None}


def tone_stream(seed: int, n_chunks: int = 5) -> StreamSample:
    """A stream with one tone somewhere; ``seed`` decides which and where."""
    rng = np.random.default_rng(seed)
    tokenizer = tiny_tokenizer()
    spec = stream_spec(tokenizer)
    audio = 0.01 * rng.standard_normal(n_chunks * CHUNK).astype(np.float32)
    tone_hz = list(ANSWERS)[seed % 2]
    start = int(rng.integers(0, (n_chunks - 1) * CHUNK - 3000))
    time_s = np.arange(3000) / 16_000
    audio[start : start + 3000] += (0.3 * np.sin(2 * np.pi * tone_hz * time_s)).astype(np.float32)
    text = ANSWERS[tone_hz]
    chunk = spec.time.reply_chunk(start + 3000)
    replies = () if text is None else (Reply(chunk, text, "normal"),)
    event = Event("tone", start, start + 3000, start + 3000, bool(text), (text,) if text else ())
    turns = {r.chunk: (tokenizer.encode(r.text), r.emotion) for r in replies}
    piece = online_stream(spec.tokens, spec.time.slots_per_chunk, [], n_chunks, turns)
    record = StreamRecord(
        f"tone{seed:04d}", "online", "tones", "tones", "", len(audio), replies, (event,)
    )
    return _sample(record, quantise(audio), piece)


def text_stream(seed: int) -> StreamSample:
    """An offline exchange without audio."""
    tokenizer = tiny_tokenizer()
    table = tokenizer.table
    piece = (
        offline_prefix(table, [])
        + offline_user(table, tokenizer.encode(f"Say {seed}."))
        + offline_answer(table, tokenizer.encode(f"It is {seed}."))
    )
    record = StreamRecord(f"text{seed:04d}", "offline", "text", "text", "", 0)
    return _sample(record, np.zeros(0, np.int16), piece)


def _sample(record: StreamRecord, pcm: npt.NDArray[np.int16], piece: Piece) -> StreamSample:
    return StreamSample(record, pcm, np.array(piece.ids, np.int32), np.array(piece.roles, np.int8))


@pytest.fixture(scope="session")
def tokenizer() -> TextTokenizer:
    return tiny_tokenizer()


@pytest.fixture(scope="session")
def spec(tokenizer: TextTokenizer) -> StreamSpec:
    return stream_spec(tokenizer)


@pytest.fixture(scope="session")
def make_tone_stream() -> Callable[..., StreamSample]:
    return tone_stream


@pytest.fixture(scope="session")
def make_text_stream() -> Callable[..., StreamSample]:
    return text_stream


@pytest.fixture(scope="session")
def small_model() -> ModelConfig:
    """A few hundred thousand parameters."""
    return ModelConfig(
        AudioEncoderConfig(
            width=32, layers=1, heads=2, ffn_width=64, max_positions=32, init_std=0.1
        ),
        LmConfig(width=48, layers=2, heads=2, kv_heads=1, ffn_width=96, max_positions=512,
                 rope_theta=1e4, tied=True, init_std=0.08),
    )  # fmt: skip


@pytest.fixture(scope="session")
def tone_data(tmp_path_factory: pytest.TempPathFactory, spec: StreamSpec) -> Path:
    """A data folder: 24 training streams (of different lengths, one of text), 6 held out."""
    folder = tmp_path_factory.mktemp("tones")
    train = [tone_stream(i, 4 + i % 3) for i in range(23)] + [text_stream(1)]
    valid = [tone_stream(1000 + i) for i in range(6)]
    for split, samples in (("train", train), ("valid", valid)):
        half = len(samples) // 2
        shards = [
            write_shard(folder / split, k, f"{split}{k}", part, spec)
            for k, part in enumerate((samples[:half], samples[half:]))
        ]
        write_index(folder / split, spec, shards)
    return folder
