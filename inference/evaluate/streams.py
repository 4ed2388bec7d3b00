"""Reads held-out streams from shards and encodes them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from inference.audio_frontend import Float32, mel_chunks
from inference.engine import Engine
from inference.evaluate.outcome import Truth
from inference.feed import packets
from inference.sources.recordings import Recording, built_stream
from soundflow.errors import UserError
from soundflow.model.interaction import AudioInteractionModel
from soundflow.shards.reader import ShardSet
from soundflow.shards.schema import StreamRecord, StreamSample

ENCODE_CHUNKS = 256


@dataclass(frozen=True)
class TestStream:
    """A stream of a held-out split, and its encoder outputs (n_chunks, slots, d)."""

    __test__ = False  # not a test case of pytest

    sample: StreamSample
    slots: Tensor

    @property
    def record(self) -> StreamRecord:
        return self.sample.record


def truth_of(record: StreamRecord) -> Truth:
    return Truth(record.id, record.n_samples, record.events, record.ability, record.task)


def online_positions(shards: ShardSet, at_most: int | None, seed: int = 0) -> list[int]:
    """Positions of online streams: all, or a seeded choice of ``at_most``, in order.

    Raises:
        UserError: if there is none.
    """
    found = np.flatnonzero(shards.lengths.is_kind("online")).tolist()
    if not found:
        raise UserError(f"{shards.folder}: holds no online stream", "choose another split")
    if at_most is None or at_most >= len(found):
        return found
    rng = np.random.Generator(np.random.PCG64(seed))
    return sorted(rng.choice(found, size=at_most, replace=False).tolist())


def read_groups(
    engine: Engine, shards: ShardSet, positions: Sequence[int], group: int
) -> Iterator[list[TestStream]]:
    """Streams in groups of ``group``, so that memory does not grow with the split.

    Raises:
        UserError: if the shards follow another spec than the engine, or are damaged.
    """
    engine.spec.require_same(shards.spec, "the checkpoint", str(shards.folder))
    for start in range(0, len(positions), group):
        samples = [shards.read(i) for i in positions[start : start + group]]
        yield encode_streams(engine, samples)


def encode_streams(engine: Engine, samples: Sequence[StreamSample]) -> list[TestStream]:
    """Encodes the chunks of all streams in one batch; each chunk is still encoded alone."""
    mels = [_mel(engine, sample) for sample in samples]
    slots = _encode(engine.model, np.concatenate(mels))
    parts = slots.split([len(m) for m in mels])  # type: ignore[no-untyped-call]
    return [TestStream(s, p) for s, p in zip(samples, parts, strict=True)]


def recording_of(engine: Engine, sample: StreamSample) -> Recording:
    """A held-out stream as `soundflow infer FOLDER#STREAM` reads it."""
    return built_stream(sample, engine.spec.time.chunk_samples)


def _mel(engine: Engine, sample: StreamSample) -> Float32:
    taken_in = packets(recording_of(engine, sample), engine.profile, engine.spec.time)
    return mel_chunks(engine.spec, engine.profile, taken_in)


def _encode(model: AudioInteractionModel, mel: Float32) -> Tensor:
    with torch.inference_mode():
        batches = torch.from_numpy(mel).split(ENCODE_CHUNKS)  # type: ignore[no-untyped-call]
        return torch.cat([model.encode(b.to(model.device)) for b in batches])
