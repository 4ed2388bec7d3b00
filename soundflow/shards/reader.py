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
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, lru_cache, partial
from itertools import accumulate
from pathlib import Path
from typing import Any, TypeVar
from zlib import crc32

import numpy as np
import soundfile

from soundflow.errors import UserError
from soundflow.protocol.spec import StreamSpec
from soundflow.shards.address import Url, open_address
from soundflow.shards.lengths import LENGTHS_NAME, Lengths, StreamLengths, open_lengths
from soundflow.shards.schema import SCHEMA_VERSION, StreamRecord, StreamSample
from soundflow.shards.sidecar import SampleEntry, ShardInfo, file_checksum, unsealed
from soundflow.shards.store import FileRange, Store, store_of
from soundflow.shards.writer import INDEX_NAME
from soundflow.stored_json import parsed

_REMEDY = "make it again with the same build command"
_WHAT = {"flac": "audio", "json": "record", "tokens.npy": "tokens"}


T = TypeVar("T")


class ShardSet:
    """All streams of one split, e.g. ``data/train`` or ``s3://bucket/data/train``.

    Args:
        require_whole: refuse shards that are missing or cut short at once; otherwise their streams
            fail when they are read.

    Raises:
        UserError: if the folder is missing or unfinished, or a shard was cut short; if a store
            fails, naming the file.
    """

    def __init__(self, folder: str | Path, *, require_whole: bool = True) -> None:
        self.folder = open_address(folder)
        self._store = store_of(self.folder)
        index = self._read_index()
        self.spec = StreamSpec.from_json(index["spec"])
        self._about_lengths: dict[str, Any] = index["lengths"]
        self._shards: list[dict[str, Any]] = index["shards"]
        self._ends = list(accumulate(s["n_streams"] for s in self._shards))
        self._require_whole = require_whole
        if require_whole and isinstance(self.folder, Path):
            self._require_files(self.folder)

    def __reduce__(self) -> tuple[Callable[..., ShardSet], tuple[Path | Url]]:
        # Another process maps the files itself.
        return partial(type(self), require_whole=self._require_whole), (self.folder,)

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    @property
    def ends(self) -> tuple[int, ...]:
        """The position after the last sample of each shard."""
        return tuple(self._ends)

    @property
    def shard_hashes(self) -> tuple[str, ...]:
        """The SHA-256 of each shard in hex."""
        return tuple(s["sha256"] for s in self._shards)

    def positions(self, shard: int) -> range:
        """Of the samples of a shard."""
        return range(self._ends[shard - 1] if shard else 0, self._ends[shard])

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
            return open_lengths(self._table, len(self), self._about_lengths)
        except (OSError, ValueError) as error:
            where = self.folder / LENGTHS_NAME
            raise UserError(f"damaged index {where}: {error}", _REMEDY) from error

    def entry(self, position: int) -> SampleEntry:
        """Id and lengths of a sample, without touching its audio."""
        return self._entry(*self.place(position))

    def record(self, position: int) -> StreamRecord:
        shard, offset = self.place(position)
        entry = self._entry(shard, offset)
        # From a store all of it comes in one request, and its audio is often wanted next.
        names = ("json",) if isinstance(self.folder, Path) else tuple(entry.members)
        return self._record(shard, entry, self._members(shard, entry, names))

    def fetch(self, positions: Sequence[int]) -> None:
        """Gets streams that will be read soon, many at a time; nothing to do in a folder.

        Raises:
            UserError: if a store fails.
        """
        if isinstance(self.folder, Path):
            return
        places = [self.place(position) for position in positions]
        self._store.fetch([self._sidecar_part(shard) for shard in sorted({s for s, _ in places})])
        entries = [(shard, self._entry(shard, offset)) for shard, offset in places]
        self._store.fetch(
            [self._part(shard, entry, tuple(entry.members)) for shard, entry in entries]
        )

    def read(self, position: int) -> StreamSample:
        """One stream.

        Raises:
            IndexError: outside ``range(len(self))``.
            UserError: naming the shard, if a byte of the stream is not what was written.
        """
        shard, offset = self.place(position)
        entry = self._entry(shard, offset)
        members = self._members(shard, entry, tuple(entry.members))
        tokens = self._parsed(shard, entry, "tokens", _tokens, members["tokens.npy"])
        pcm = np.zeros(0, np.int16)
        if "flac" in members:
            pcm = self._parsed(shard, entry, "audio", _pcm, members["flac"])
        sample = StreamSample(
            record=self._record(shard, entry, members),
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
            if file_checksum(self._table(name)) != sha256:
                where = self.folder / name
                raise UserError(f"damaged index {where}: its checksum differs", _REMEDY)
        for number, shard in enumerate(self._shards):
            if self._store.checksum(shard["name"], shard["n_bytes"]) != shard["sha256"]:
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

    def place(self, position: int) -> tuple[int, int]:
        """The shard of a sample, and its number in it.

        Raises:
            IndexError: outside ``range(len(self))``.
        """
        if not 0 <= position < len(self):
            raise IndexError(f"stream {position} of {len(self)} in {self.folder}")
        shard = bisect.bisect_right(self._ends, position)
        return shard, position - (self._ends[shard - 1] if shard else 0)

    def _table(self, name: str) -> Path:
        """The local file of a table; the index says its checksum."""
        sha256 = self._about_lengths["sha256"][name]
        part = FileRange(name, sha256, lambda data: hashlib.sha256(data).hexdigest() == sha256)
        return self._store.file(part)

    def _entry(self, shard: int, offset: int) -> SampleEntry:
        try:
            return _load_sidecar(self._store, self._sidecar_part(shard)).samples[offset]
        except (OSError, ValueError) as error:
            raise self._damaged(shard, f"its sidecar cannot be used ({error})") from error

    def _sidecar_part(self, shard: int) -> FileRange:
        about = self._shards[shard]
        return _sidecar_part(_sidecar_name(about["name"]), about["sha256"])

    def _record(self, shard: int, entry: SampleEntry, members: Mapping[str, bytes]) -> StreamRecord:
        def parse(data: bytes) -> StreamRecord:
            return StreamRecord.from_json(json.loads(data))

        return self._parsed(shard, entry, "record", parse, members["json"])

    def _part(self, shard: int, entry: SampleEntry, names: tuple[str, ...]) -> FileRange:
        """The bytes of a shard from the first to the last of some files of a sample."""
        found = [entry.members[name] for name in names]
        start = min(m.offset for m in found)

        def is_intact(data: bytes) -> bool:
            return all(
                crc32(data[m.offset - start : m.offset - start + m.size]) == m.crc32 for m in found
            )

        about = self._shards[shard]
        end = max(m.offset + m.size for m in found)
        return FileRange(about["name"], about["sha256"], is_intact, start, end - start)

    def _members(self, shard: int, entry: SampleEntry, names: tuple[str, ...]) -> dict[str, bytes]:
        """Some files of a sample, in one reading, each compared with its checksum."""
        part = self._part(shard, entry, names)
        try:
            data = self._store.part(part)
        except OSError as error:
            raise self._damaged(shard, error.strerror or "cannot be read") from error
        members = {}
        for name in names:
            offset, size, checksum = entry.members[name]
            content = data[offset - part.offset : offset - part.offset + size]
            if len(content) != size or crc32(content) != checksum:
                what = _WHAT.get(name, name)
                raise self._damaged(shard, f"{what} of {entry.id} differ from what was written")
            members[name] = content
        return members

    def _parsed(
        self, shard: int, entry: SampleEntry, what: str, parse: Callable[[bytes], T], data: bytes
    ) -> T:
        try:
            return parse(data)
        except (ValueError, soundfile.LibsndfileError) as error:
            raise self._damaged(shard, f"{what} of {entry.id}: {error}") from error

    def _require_files(self, folder: Path) -> None:
        """Every shard in its size, with its sidecar: one look at the folder, no file is opened."""
        with os.scandir(folder) as found:
            entries = {entry.name: entry for entry in found}
        for number, shard in enumerate(self._shards):
            tar = entries.get(shard["name"])
            n_bytes = tar.stat().st_size if tar is not None else None
            if n_bytes != shard["n_bytes"]:
                what = "missing" if n_bytes is None else f"{n_bytes} bytes"
                raise self._damaged(number, f"{what}, the index says {shard['n_bytes']} bytes")
            if _sidecar_name(shard["name"]) not in entries:
                raise self._damaged(number, "its sidecar is missing")

    def _damaged(self, shard: int, why: str) -> UserError:
        return UserError(
            f"damaged shard {self.folder / self._shards[shard]['name']}: {why}", _REMEDY
        )

    def _read_index(self) -> dict[str, Any]:
        path = self.folder / INDEX_NAME
        try:
            index = _content(self._store.read(INDEX_NAME))
        except FileNotFoundError as error:
            raise _without_index(Path(self.folder)) from error
        except (OSError, ValueError) as error:
            raise UserError(f"damaged index {path}: {error}", _REMEDY) from error
        if index.get("schema") != SCHEMA_VERSION:
            raise UserError(
                f"{path}: made by another version of SoundFlow (schema {index.get('schema')}, "
                f"this version reads {SCHEMA_VERSION})",
                "build the data again with this version",
            )
        return index


def _content(index: bytes) -> dict[str, Any]:
    """What an index says. Those of the first schema have no checksum, and are told by its number.

    Raises:
        ValueError: if it is damaged.
    """
    try:
        content: dict[str, Any] = json.loads(unsealed(index))
    except ValueError:
        content = parsed(index)
        if not isinstance(content, dict) or content.get("schema") in (None, SCHEMA_VERSION):
            raise
    return content


def _without_index(folder: Path) -> UserError:
    build = f"run `soundflow build-data` with the recipe whose output is {folder.parent}"
    inside = sorted(p.parent.name for p in folder.glob(f"*/{INDEX_NAME}"))
    if inside:
        return UserError(
            f"{folder}: is a whole build, not one of its splits",
            f"name one of its folders: {', '.join(inside)}",
        )
    if folder.is_dir():
        return UserError(f"{folder}: is not finished (no index)", build)
    others = sorted(p.parent.name for p in folder.parent.glob(f"*/{INDEX_NAME}"))
    hint = f"this build has the splits {', '.join(others)}" if others else build
    return UserError(f"{folder}: no such folder", hint)


def _tokens(data: bytes) -> np.ndarray[Any, Any]:
    found: np.ndarray[Any, Any] = np.load(io.BytesIO(data), allow_pickle=False)
    return found


def _pcm(data: bytes) -> np.ndarray[Any, Any]:
    found: np.ndarray[Any, Any] = soundfile.read(io.BytesIO(data), dtype="int16")[0]
    return found


def _sidecar_name(shard: str) -> str:
    return f"{Path(shard).stem}.json"


def _sidecar_part(name: str, sha256: str) -> FileRange:
    def is_intact(data: bytes) -> bool:
        try:
            _sidecar_of(data, sha256)
        except ValueError:
            return False
        return True

    return FileRange(name, sha256, is_intact)


@lru_cache(maxsize=64)
def _load_sidecar(store: Store, part: FileRange) -> ShardInfo:
    """Cached by content: a folder may be built anew while this process lives."""
    return _sidecar_of(store.part(part), part.content)


def _sidecar_of(data: bytes, sha256: str) -> ShardInfo:
    info = ShardInfo.parsed(data)
    if info.sha256 != sha256:
        raise ValueError("it belongs to a different build than the index")
    return info
