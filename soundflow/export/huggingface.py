"""Our streams as a Hugging Face dataset: Parquet files in the layout that the hub reads.

::

    data/train-00000-of-00003.parquet   one file a shard: audio as FLAC bytes inside the rows
    data/test-00000-of-00001.parquet

Nothing is lost: a row holds a whole sample, and `sample_of` gives it back. Audio is declared
undecoded, so that a row can be read without audio packages; to get arrays, cast the column:
``data.cast_column("audio", datasets.Audio(16_000))``.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile
from datasets import Audio, Features, List, Value

from soundflow.atomic import atomic_write
from soundflow.shards.reader import ShardSet
from soundflow.shards.schema import SCHEMA_VERSION, StreamRecord, StreamSample
from soundflow.shards.writer import flac_bytes

DATA_FOLDER = "data"
_ROWS_A_GROUP = 32  # what a reader has to hold at once
_RECORD = (
    "id", "kind", "ability", "task", "system", "n_samples", "replies", "events", "offline", "items",
    "noise", "scene", "any_sound", "peak_limited",
)  # fmt: skip
_CLIP = {
    "id": Value("string"),
    "corpus": Value("string"),
    "licence": Value("string"),
    "attribution": Value("string"),
    "labels": List(Value("string")),
    "recording": Value("string"),
    "near_duplicates": Value("string"),
    "group": Value("string"),
}


def features(sample_rate_hz: int) -> Features:
    """The columns. Times are in samples from the start of the stream."""
    return Features(
        {
            "id": Value("string"),
            "kind": Value("string"),
            "ability": Value("string"),
            "task": Value("string"),
            "system": Value("string"),
            "n_samples": Value("int64"),
            "audio": Audio(sampling_rate=sample_rate_hz, decode=False),
            "replies": List(
                {"chunk": Value("int32"), "text": Value("string"), "emotion": Value("string")}
            ),
            "events": List(
                {
                    "kind": Value("string"),
                    "on_samples": Value("int64"),
                    "ready_samples": Value("int64"),
                    "end_samples": Value("int64"),
                    "must_respond": Value("bool"),
                    "answers": List(Value("string")),
                    "basis": Value("string"),
                }
            ),
            "offline": {"user": Value("string"), "answer": Value("string")},
            "items": List(
                {
                    "clip": _CLIP,
                    "what": Value("string"),
                    "track": Value("string"),
                    "start_samples": Value("int64"),
                    "n_samples": Value("int64"),
                    "gain_db": Value("float64"),
                    "on_samples": Value("int64"),
                    "end_samples": Value("int64"),
                    "speaker": Value("string"),
                    "text": Value("string"),
                    "language": Value("string"),
                    "reply_chunks": List(Value("int32")),
                    "above_rest_db": Value("float64"),
                    "hit_limit": Value("bool"),
                }
            ),
            "noise": List({"clips": List(_CLIP), "snr_db": Value("float64")}),
            "scene": Value("string"),
            "any_sound": Value("bool"),
            "peak_limited": Value("bool"),
            "ids": List(Value("int32")),
            "roles": List(Value("int8")),
            "provenance": Value("string"),
        }
    )


def export_huggingface(shards: ShardSet, split: str, folder: Path) -> int:
    """Writes every sample of a split below ``folder``, one Parquet file a shard.

    Returns:
        How many samples were written.

    Raises:
        UserError: if the split is damaged or the folder cannot be written.
    """
    rate_hz = shards.spec.time.sample_rate_hz
    schema = features(rate_hz).arrow_schema
    runs = shard_runs(shards)
    for number, positions in enumerate(runs):
        name = f"{split}-{number:05d}-of-{len(runs):05d}.parquet"
        with (
            atomic_write(folder / DATA_FOLDER / name) as file,
            pq.ParquetWriter(file, schema, compression="zstd") as writer,
        ):
            for first in range(positions.start, positions.stop, _ROWS_A_GROUP):
                group = range(first, min(first + _ROWS_A_GROUP, positions.stop))
                rows = [row_of(shards.read(at), rate_hz) for at in group]
                writer.write_table(pa.Table.from_pylist(rows, schema))
    return len(shards)


def shard_runs(shards: ShardSet) -> list[range]:
    """The positions of each shard."""
    return [range(a, b) for a, b in pairwise((0, *shards.ends))]


def row_of(sample: StreamSample, rate_hz: int) -> dict[str, Any]:
    """A sample as a row of `features`."""
    record = sample.record
    flac = flac_bytes(sample.pcm, rate_hz) if len(sample.pcm) else None
    plain = record.to_json()
    return {
        **{name: plain[name] for name in _RECORD},
        "audio": {"bytes": flac, "path": f"{record.id}.flac"} if flac else None,
        "ids": sample.ids.tolist(),
        "roles": sample.roles.tolist(),
        "provenance": json.dumps(record.provenance, ensure_ascii=False, sort_keys=True),
    }


def sample_of(row: Mapping[str, Any]) -> StreamSample:
    """The inverse of `row_of`.

    Raises:
        ValueError: if the row does not hold what it should.
    """
    record = StreamRecord.from_json(
        {
            "schema": SCHEMA_VERSION,
            **{name: row[name] for name in _RECORD},
            "offline": row["offline"] if row["offline"] and row["offline"]["answer"] else None,
            "provenance": json.loads(row["provenance"]),
        }
    )
    pcm = np.zeros(0, np.int16)
    if row["audio"] is not None:
        pcm, _ = soundfile.read(io.BytesIO(row["audio"]["bytes"]), dtype="int16")
    return StreamSample(
        record, pcm, np.array(row["ids"], np.int32), np.array(row["roles"], np.int8)
    )
