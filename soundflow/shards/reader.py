"""Reads a folder of shards by position: finite, of exact length, O(1) to any sample.

Order is the reader's business, not the file's: training permutes positions, so resuming never
replays an epoch.
"""

from __future__ import annotations

import bisect
import hashlib
import io
import json
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from soundflow.errors import UserError
from soundflow.protocol.spec import StreamSpec
from soundflow.shards.schema import SCHEMA_VERSION, StreamRecord, StreamSample
from soundflow.shards.writer import INDEX_NAME, SampleEntry, ShardInfo


class ShardSet:
    """All streams of one split, e.g. ``data/train``.

    Raises:
        UserError: if the folder is missing or unfinished, or a shard was cut short.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        index = self._read_index()
        self.spec = StreamSpec.from_json(index["spec"])
        self._shards: list[dict[str, Any]] = index["shards"]
        self._ends = list(accumulate(s["n_streams"] for s in self._shards))
        for shard in self._shards:
            self._require_size(shard)

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    @property
    def ends(self) -> tuple[int, ...]:
        """The position behind the last sample of each shard."""
        return tuple(self._ends)

    @property
    def n_samples(self) -> int:
        """Audio of all streams together, in samples."""
        return sum(s["n_samples"] for s in self._shards)

    @property
    def content_hash(self) -> str:
        """16 hex digits of the checksums of all shards, in order."""
        joined = "".join(s["sha256"] for s in self._shards)
        return hashlib.sha256(joined.encode()).hexdigest()[:16]

    def entry(self, position: int) -> SampleEntry:
        """Id and lengths of a sample, without touching its audio."""
        shard, offset = self._locate(position)
        return self._sidecar(shard).samples[offset]

    def record(self, position: int) -> StreamRecord:
        shard, offset = self._locate(position)
        return self._record(shard, self._sidecar(shard).samples[offset])

    def read(self, position: int) -> StreamSample:
        """Raises:
        IndexError: outside ``range(len(self))``.
        UserError: if the bytes are not what the index says.
        """
        shard, offset = self._locate(position)
        entry = self._sidecar(shard).samples[offset]
        try:
            tokens = np.load(
                io.BytesIO(self._member(shard, entry, "tokens.npy")), allow_pickle=False
            )
            pcm = np.zeros(0, np.int16)
            if "flac" in entry.members:
                pcm, _ = soundfile.read(
                    io.BytesIO(self._member(shard, entry, "flac")), dtype="int16"
                )
            sample = StreamSample(
                record=self._record(shard, entry),
                pcm=pcm,
                ids=tokens[0].astype(np.int32),
                roles=tokens[1].astype(np.int8),
            )
            sample.validate(self.spec)
        except (ValueError, soundfile.LibsndfileError, IndexError) as error:
            raise self._damaged(shard, f"sample {entry.id}: {error}") from error
        return sample

    def verify(self) -> None:
        """Reads every byte and compares checksums.

        Raises:
            UserError: naming the first shard that differs from its index.
        """
        for number, shard in enumerate(self._shards):
            with (self.folder / shard["name"]).open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            if digest != shard["sha256"]:
                raise self._damaged(number, "its checksum differs from the index")

    def _locate(self, position: int) -> tuple[int, int]:
        if not 0 <= position < len(self):
            raise IndexError(f"stream {position} of {len(self)} in {self.folder}")
        shard = bisect.bisect_right(self._ends, position)
        return shard, position - (self._ends[shard - 1] if shard else 0)

    def _sidecar(self, shard: int) -> ShardInfo:
        about = self._shards[shard]
        path = (self.folder / about["name"]).with_suffix(".json")
        return _load_sidecar(path, about["sha256"])

    def _record(self, shard: int, entry: SampleEntry) -> StreamRecord:
        try:
            return StreamRecord.from_json(json.loads(self._member(shard, entry, "json")))
        except ValueError as error:
            raise self._damaged(shard, f"sample {entry.id}: {error}") from error

    def _member(self, shard: int, entry: SampleEntry, extension: str) -> bytes:
        offset, size = entry.members[extension]
        data: bytes
        path = self.folder / self._shards[shard]["name"]
        try:
            with path.open("rb") as file:
                file.seek(offset)
                data = file.read(size)
        except OSError as error:
            raise self._damaged(shard, error.strerror or "cannot be read") from error
        if len(data) != size:
            raise self._damaged(shard, f"ends inside sample {entry.id}")
        return data

    def _require_size(self, shard: dict[str, Any]) -> None:
        path = self.folder / shard["name"]
        found = path.stat().st_size if path.is_file() else None
        if found != shard["n_bytes"] or not path.with_suffix(".json").is_file():
            raise UserError(
                f"{path}: {'missing' if found is None else f'{found} bytes'}, "
                f"the index says {shard['n_bytes']}, with its sidecar",
                "run the same build command again; it makes what is missing",
            )

    def _damaged(self, shard: int, why: str) -> UserError:
        return UserError(
            f"{self.folder / self._shards[shard]['name']}: {why}",
            "delete this shard and run the same build command again",
        )

    def _read_index(self) -> dict[str, Any]:
        path = self.folder / INDEX_NAME
        try:
            index: dict[str, Any] = json.loads(path.read_bytes())
        except FileNotFoundError as error:
            what = "is not finished (no index)" if self.folder.is_dir() else "no such folder"
            raise UserError(
                f"{self.folder}: {what}", "run `soundflow build-data` with its recipe"
            ) from error
        except (OSError, ValueError) as error:
            raise UserError(f"{path}: cannot be read ({error})", "build the data again") from error
        if index.get("schema") != SCHEMA_VERSION:
            raise UserError(
                f"{path}: schema version {index.get('schema')}, this reads {SCHEMA_VERSION}",
                "build the data again with this version",
            )
        return index


@lru_cache(maxsize=64)
def _load_sidecar(path: Path, sha256: str) -> ShardInfo:
    """Cached by content: a folder may be built anew while this process lives."""
    try:
        info = ShardInfo.from_json(json.loads(path.read_bytes()))
        if info.sha256 != sha256:
            raise ValueError("it belongs to another build than the index")
        return info
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path}: is damaged ({error})", "delete it and run the same build command again"
        ) from error
