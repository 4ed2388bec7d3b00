"""Reads a folder of shards by position: finite, of exact length, O(1) to any sample.

Order is the reader's business, not the file's: training permutes positions, so resuming never
replays an epoch. Everything read is verified against the checksum it was written with, so a damaged
shard is always detected and named.
"""

from __future__ import annotations

import bisect
import hashlib
import io
import json
import os
from collections.abc import Callable
from functools import cached_property, lru_cache
from itertools import accumulate
from pathlib import Path
from typing import Any, TypeVar
from zlib import crc32

import numpy as np
import soundfile

from soundflow.errors import UserError
from soundflow.protocol.spec import StreamSpec
from soundflow.shards.lengths import LENGTHS_NAME, Lengths, StreamLengths, open_lengths
from soundflow.shards.schema import SCHEMA_VERSION, StreamRecord, StreamSample
from soundflow.shards.sidecar import SampleEntry, ShardInfo, file_checksum, unsealed
from soundflow.shards.writer import INDEX_NAME

_REMEDY = "make it again with the same build command"


T = TypeVar("T")


class ShardSet:
    """All streams of one split, e.g. ``data/train``.

    Raises:
        UserError: if the folder is missing or unfinished, or a shard was cut short.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        index = self._read_index()
        self.spec = StreamSpec.from_json(index["spec"])
        self._about_lengths: dict[str, Any] = index["lengths"]
        self._shards: list[dict[str, Any]] = index["shards"]
        self._ends = list(accumulate(s["n_streams"] for s in self._shards))
        self._require_files()

    def __reduce__(self) -> tuple[type[ShardSet], tuple[Path]]:
        return type(self), (self.folder,)  # another process maps the files itself

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    @property
    def ends(self) -> tuple[int, ...]:
        """The position after the last sample of each shard."""
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

    @cached_property
    def lengths(self) -> Lengths:
        """Tokens, chunks, decisions, kind and task of every stream, without touching a shard.

        Raises:
            UserError: if the table is damaged.
        """
        try:
            return open_lengths(self.folder, len(self), self._about_lengths)
        except (OSError, ValueError) as error:
            where = self.folder / LENGTHS_NAME
            raise UserError(f"damaged index {where}: {error}", _REMEDY) from error

    def entry(self, position: int) -> SampleEntry:
        """Id and lengths of a sample, without touching its audio."""
        shard, offset = self._locate(position)
        return self._sidecar(shard).samples[offset]

    def record(self, position: int) -> StreamRecord:
        shard, offset = self._locate(position)
        return self._record(shard, self._sidecar(shard).samples[offset])

    def read(self, position: int) -> StreamSample:
        """One stream.

        Raises:
            IndexError: outside ``range(len(self))``.
            UserError: naming the shard, if a byte of the stream is not what was written.
        """
        shard, offset = self._locate(position)
        entry = self._sidecar(shard).samples[offset]
        tokens = self._member(shard, entry, "tokens.npy", "tokens", _tokens)
        pcm = np.zeros(0, np.int16)
        if "flac" in entry.members:
            pcm = self._member(shard, entry, "flac", "audio", _pcm)
        sample = StreamSample(
            record=self._record(shard, entry),
            pcm=pcm,
            ids=tokens[0].astype(np.int32),
            roles=tokens[1].astype(np.int8),
        )
        try:
            sample.validate(self.spec)
        except ValueError as error:
            raise self._damaged(shard, str(error)) from error
        return sample

    def verify(self) -> None:
        """Reads every byte: checksums of shards and table, and each row against its stream.

        Raises:
            UserError: naming the first file that is damaged.
        """
        for name, sha256 in self._about_lengths["sha256"].items():
            table = self.folder / name
            if file_checksum(table) != sha256:
                raise UserError(f"damaged index {table}: its checksum differs", _REMEDY)
        for number, shard in enumerate(self._shards):
            if file_checksum(self.folder / shard["name"]) != shard["sha256"]:
                raise self._damaged(number, "its checksum differs from the index")
        for position in range(len(self)):
            self.require_row(position, self.read(position))

    def require_row(self, position: int, sample: StreamSample) -> None:
        """Compares what the table says of a stream with the stream itself.

        Raises:
            UserError: if they differ.
        """
        said, found = self.lengths[position], StreamLengths.of(sample, self.spec)
        if said != found:
            where = self.folder / LENGTHS_NAME
            raise UserError(
                f"damaged index {where}: {sample.record.id} is {found}, the table says {said}",
                _REMEDY,
            )

    def _locate(self, position: int) -> tuple[int, int]:
        if not 0 <= position < len(self):
            raise IndexError(f"stream {position} of {len(self)} in {self.folder}")
        shard = bisect.bisect_right(self._ends, position)
        return shard, position - (self._ends[shard - 1] if shard else 0)

    def _sidecar(self, shard: int) -> ShardInfo:
        about = self._shards[shard]
        path = self.folder / about["name"]
        try:
            return _load_sidecar(path.with_suffix(".json"), about["sha256"])
        except (OSError, ValueError) as error:
            raise self._damaged(shard, f"its sidecar cannot be used ({error})") from error

    def _record(self, shard: int, entry: SampleEntry) -> StreamRecord:
        return self._member(
            shard, entry, "json", "record", lambda data: StreamRecord.from_json(json.loads(data))
        )

    def _member(
        self, shard: int, entry: SampleEntry, name: str, what: str, parse: Callable[[bytes], T]
    ) -> T:
        """One file of a sample, read and parsed."""
        offset, size, checksum = entry.members[name]
        try:
            with (self.folder / self._shards[shard]["name"]).open("rb") as file:
                file.seek(offset)
                data = file.read(size)
        except OSError as error:
            raise self._damaged(shard, error.strerror or "cannot be read") from error
        if len(data) != size or crc32(data) != checksum:
            raise self._damaged(shard, f"{what} of {entry.id} differ from what was written")
        try:
            return parse(data)
        except (ValueError, soundfile.LibsndfileError) as error:
            raise self._damaged(shard, f"{what} of {entry.id}: {error}") from error

    def _require_files(self) -> None:
        """Every shard in its size, with its sidecar: one look at the folder, no file is opened."""
        with os.scandir(self.folder) as found:
            entries = {entry.name: entry for entry in found}
        for number, shard in enumerate(self._shards):
            tar = entries.get(shard["name"])
            n_bytes = tar.stat().st_size if tar is not None else None
            if n_bytes != shard["n_bytes"]:
                what = "missing" if n_bytes is None else f"{n_bytes} bytes"
                raise self._damaged(number, f"{what}, the index says {shard['n_bytes']} bytes")
            if Path(shard["name"]).stem + ".json" not in entries:
                raise self._damaged(number, "its sidecar is missing")

    def _damaged(self, shard: int, why: str) -> UserError:
        return UserError(
            f"damaged shard {self.folder / self._shards[shard]['name']}: {why}", _REMEDY
        )

    def _read_index(self) -> dict[str, Any]:
        path = self.folder / INDEX_NAME
        try:
            index = unsealed(path.read_bytes())
        except FileNotFoundError as error:
            build = "run `soundflow build-data` with its recipe"
            inside = sorted(p.parent.name for p in self.folder.glob(f"*/{INDEX_NAME}"))
            if inside:
                raise UserError(
                    f"{self.folder}: is a whole build, not one of its splits",
                    f"name one of its folders: {', '.join(inside)}",
                ) from error
            if self.folder.is_dir():
                raise UserError(f"{self.folder}: is not finished (no index)", build) from error
            others = sorted(p.parent.name for p in self.folder.parent.glob(f"*/{INDEX_NAME}"))
            hint = f"this build has the splits {', '.join(others)}" if others else build
            raise UserError(f"{self.folder}: no such folder", hint) from error
        except (OSError, ValueError) as error:
            raise UserError(f"damaged index {path}: {error}", _REMEDY) from error
        if index.get("schema") != SCHEMA_VERSION:
            raise UserError(
                f"{path}: schema version {index.get('schema')}, this version reads "
                f"{SCHEMA_VERSION}",
                "build the data again with this version",
            )
        return index


def _tokens(data: bytes) -> np.ndarray[Any, Any]:
    found: np.ndarray[Any, Any] = np.load(io.BytesIO(data), allow_pickle=False)
    return found


def _pcm(data: bytes) -> np.ndarray[Any, Any]:
    found: np.ndarray[Any, Any] = soundfile.read(io.BytesIO(data), dtype="int16")[0]
    return found


@lru_cache(maxsize=64)
def _load_sidecar(path: Path, sha256: str) -> ShardInfo:
    """Cached by content: a folder may be built anew while this process lives."""
    info = ShardInfo.read(path)
    if info.sha256 != sha256:
        raise ValueError("it belongs to a different build than the index")
    return info
