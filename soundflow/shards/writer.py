"""Writes shards: one tar, its sidecar, and at the very end the index of the folder.

::

    train/000000.tar    WebDataset tar, members in a fixed order with fixed headers
    train/000000.json   sidecar: sha256 of the tar, work key, and the position of every sample
    train/streams.npy   lengths of all streams (`soundflow.shards.lengths`)
    train/turns.npy     and of their replies
    train/index.json    written last: the spec, its fingerprint and the totals of all shards

Same samples, same bytes: headers carry no clock and no user. A tar without a sidecar, or a folder
without an index, is unfinished by definition.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import tarfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soundfile

from soundflow.atomic import atomic_write, write_text
from soundflow.protocol.spec import StreamSpec
from soundflow.shards.lengths import (
    KINDS,
    LENGTHS_NAME,
    TURNS_NAME,
    StreamLengths,
    table_bytes,
    table_of,
)
from soundflow.shards.schema import SCHEMA_VERSION, Pcm, StreamSample
from soundflow.shards.sidecar import Member, SampleEntry, ShardInfo, file_checksum, sealed

INDEX_NAME = "index.json"

_log = logging.getLogger(__name__)


class IndexedShard(NamedTuple):
    """What the index of a folder says of a shard; its streams have ``n_samples`` of audio."""

    name: str
    sha256: str
    n_bytes: int
    n_streams: int
    n_samples: int
    n_tokens: int


def write_shard(
    folder: Path,
    number: int,
    key: str,
    samples: Iterable[StreamSample],
    spec: StreamSpec,
    extra: dict[str, Any] | None = None,
) -> ShardInfo:
    """Writes shard ``number`` of ``folder``, sample by sample.

    Args:
        key: the identity of the work; `finished_shard` finds the shard by it.
        extra: JSON data kept in the sidecar (drops, counts). Read when ``samples`` is exhausted,
            so a generator may fill it while it runs.

    Raises:
        UserError: if the disk is full or the folder cannot be written; no tar is left behind.
        ValueError: if a sample contradicts itself or the spec (a defect of the builder).
    """
    name = f"{number:06d}"
    entries: list[SampleEntry] = []
    with atomic_write(folder / f"{name}.tar") as raw:
        with tarfile.open(fileobj=raw, mode="w", format=tarfile.USTAR_FORMAT) as tar:
            for sample in samples:
                sample.validate(spec)
                entries.append(_add_sample(tar, sample, spec))
        n_bytes = raw.seek(0, io.SEEK_END)
        raw.seek(0)
        sha256 = hashlib.file_digest(raw, "sha256").hexdigest()
    info = ShardInfo(
        name=f"{name}.tar",
        key=key,
        sha256=sha256,
        n_bytes=n_bytes,
        fingerprint=spec.fingerprint,
        samples=tuple(entries),
        extra=extra or {},
    )
    write_text(folder / f"{name}.json", info.to_text())
    return info


def finished_shard(folder: Path, number: int, key: str, *, verify: bool = True) -> ShardInfo | None:
    """The sidecar of a shard that this very work finished earlier, or None.

    A shard of other work, or with a damaged sidecar, counts as not there. So does one whose tar
    differs from its sidecar: that is set aside as ``NNNNNN.tar.damaged``, for inspection.

    Args:
        verify: whether the tar is read and its checksum compared, or only its size.
    """
    sidecar, tar = folder / f"{number:06d}.json", folder / f"{number:06d}.tar"
    try:
        info = ShardInfo.read(sidecar)
        found = tar.stat().st_size
    except (OSError, ValueError):
        return None
    if info.key != key:
        return None
    if found == info.n_bytes and (not verify or file_checksum(tar) == info.sha256):
        return info
    if verify:
        aside = tar.with_suffix(".tar.damaged")
        with suppress(FileNotFoundError):  # another part of the build may have done it
            sidecar.unlink()
            tar.replace(aside)
            _log.warning("damaged shard %s: kept as %s, to be made again", tar, aside.name)
    return None


def write_index(folder: Path, spec: StreamSpec, shards: Iterable[ShardInfo]) -> list[IndexedShard]:
    """Declares the folder finished. Shards that are not listed are removed as left-overs.

    Args:
        shards: in the order of their names; each is looked at once, so they may be read one by one.

    Returns:
        What the index says of each.

    Raises:
        ValueError: if they are in another order.
    """
    listed: list[IndexedShard] = []

    def lengths_of_streams() -> Iterator[StreamLengths]:
        for s in shards:
            entries = list(s.samples)
            n_samples = sum(e.n_samples for e in entries)
            n_tokens = sum(e.lengths.tokens for e in entries)
            listed.append(
                IndexedShard(s.name, s.sha256, s.n_bytes, len(entries), n_samples, n_tokens)
            )
            yield from (e.lengths for e in entries)

    lengths = table_of(lengths_of_streams())
    names = [s.name for s in listed]
    if names != sorted(set(names)):
        raise ValueError(f"shards in another order than that of their names: {names}")
    kept = set(names)
    for stray in folder.glob("[0-9]" * 6 + ".tar"):
        if stray.name not in kept:
            stray.with_suffix(".json").unlink(missing_ok=True)
            stray.unlink(missing_ok=True)
    tables = {LENGTHS_NAME: table_bytes(lengths.rows), TURNS_NAME: table_bytes(lengths.turns)}
    index = {
        "schema": SCHEMA_VERSION,
        "fingerprint": spec.fingerprint,
        "spec": spec.to_json(),
        "lengths": {
            "sha256": {n: hashlib.sha256(table).hexdigest() for n, table in tables.items()},
            "n_turns": len(lengths.turns),
            "kinds": list(KINDS),
            "tasks": list(lengths.tasks),
        },
        "shards": [s._asdict() for s in listed],
    }
    # Until all are written there is no index, so that no reader ever pairs old with new.
    (folder / INDEX_NAME).unlink(missing_ok=True)
    for name, table in tables.items():
        with atomic_write(folder / name) as file:
            file.write(table)
    write_text(folder / INDEX_NAME, sealed(json.dumps(index, sort_keys=True, indent=1)))
    return listed


def _add_sample(tar: tarfile.TarFile, sample: StreamSample, spec: StreamSpec) -> SampleEntry:
    tokens = np.stack((sample.ids.astype(np.int32), sample.roles.astype(np.int32)))
    record = json.dumps(sample.record.to_json(), sort_keys=True, ensure_ascii=False)
    parts = {"json": record.encode(), "tokens.npy": _npy(tokens)}
    if len(sample.pcm):
        parts = {"flac": flac_bytes(sample.pcm, spec.time.sample_rate_hz), **parts}
    members = {}
    for extension, data in parts.items():
        header = tarfile.TarInfo(f"{sample.record.id}.{extension}")
        header.size = len(data)
        tar.addfile(header, io.BytesIO(data))
        # After addfile the stream is positioned after the padded data.
        padded = -(-len(data) // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
        members[extension] = Member(int(tar.offset) - padded, len(data), zlib.crc32(data))
    return SampleEntry(
        id=sample.record.id,
        n_samples=len(sample.pcm),
        n_replies=len(sample.record.replies),
        lengths=StreamLengths.of(sample, spec),
        members=members,
    )


def flac_bytes(pcm: Pcm, rate_hz: int) -> bytes:
    """Lossless FLAC of PCM16."""
    buffer = io.BytesIO()
    soundfile.write(buffer, pcm, rate_hz, format="FLAC", subtype="PCM_16")
    return buffer.getvalue()


def _npy(array: np.ndarray[Any, Any]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()
