"""The self-check of a build: reads a few streams back and checks them against the protocol."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from data_build.tokenize import Vocabulary, offline_sample, online_sample
from soundflow.audio.frontend import StreamingLogMel, log_mel
from soundflow.errors import UserError
from soundflow.protocol.layout import parse_online
from soundflow.shards.reader import ShardSet
from soundflow.shards.schema import StreamSample

_STREAMS = 3


def self_check(folder: Path, vocabulary: Vocabulary, streams: int = _STREAMS) -> None:
    """Checks the first, a middle and the last stream of a split.

    Raises:
        UserError: if the files on disk do not follow the protocol.
    """
    shards = ShardSet(folder)
    shards.spec.require_same(vocabulary.spec, str(folder), "this build")
    for position in sorted({int(i) for i in np.linspace(0, len(shards) - 1, streams)}):
        if 0 <= position < len(shards):
            sample = shards.read(position)
            shards.require_row(position, sample)
            check_sample(sample, vocabulary)


def check_sample(sample: StreamSample, vocabulary: Vocabulary) -> None:
    """Ids and roles from the record again, turns from the ids back, features in other packets."""
    spec, record = vocabulary.spec, sample.record
    lay_out = offline_sample if record.kind == "offline" else online_sample
    again = lay_out(record, sample.pcm, vocabulary)
    same = np.array_equal(again.ids, sample.ids) and np.array_equal(again.roles, sample.roles)
    _require(same, record.id, "its tokens differ from its record")
    if record.kind == "offline":
        return
    parsed = parse_online(spec.tokens, spec.time.slots_per_chunk, sample.ids.tolist())
    said = [(t.chunk, t.emotion, vocabulary.tokenizer.decode(t.text_ids)) for t in parsed.turns]
    truth = [(r.chunk, r.emotion, r.text) for r in record.replies]
    _require(said == truth, record.id, f"its tokens say {said}, the record {truth}")
    audio = sample.audio()
    whole = log_mel(audio, spec.time, spec.front_end)
    _require(len(whole) == parsed.n_chunks, record.id, f"{len(whole)} chunks of features")
    stream = StreamingLogMel(spec.time, spec.front_end)
    pushed = [c for i in range(0, len(audio), 1_777) for c in stream.push(audio[i : i + 1_777])]
    _require(
        np.array_equal(np.stack(pushed + stream.finish()), whole),
        record.id,
        "its features depend on the packet size",
    )


def _require(holds: bool, sample_id: str, what: str) -> None:
    if not holds:
        raise UserError(
            f"{sample_id}: {what}", "the data is not usable; please report this with the recipe"
        )
