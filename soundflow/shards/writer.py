"""Writes shards: one tar, its sidecar, and at the very end the index of the folder.

::

    train/000000.tar    WebDataset tar, members in a fixed order with fixed headers
    train/000000.json   sidecar: sha256 of the tar, work key, and where every sample lies in it
    train/index.json    written last: the spec, its fingerprint and the totals of all shards

Same samples, same bytes: headers carry no clock and no user. A tar without a sidecar, or a folder
without an index, is unfinished by definition.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from soundflow.atomic import atomic_write, write_text
from soundflow.protocol.spec import StreamSpec
from soundflow.shards.schema import SCHEMA_VERSION, Pcm, StreamSample

INDEX_NAME = "index.json"


@dataclass(frozen=True)
class SampleEntry:
    """Where one sample lies in its tar: byte offset and size of each member by extension."""

    id: str
    n_samples: int
    n_tokens: int
    n_replies: int
    members: dict[str, tuple[int, int]]


@dataclass(frozen=True)
class ShardInfo:
    """The sidecar of a shard. ``key`` names the work that made it (recipe, seed, content)."""

    name: str
    key: str
    sha256: str
    n_bytes: int
    fingerprint: str
    samples: tuple[SampleEntry, ...]
    extra: dict[str, Any]

    @staticmethod
    def from_json(data: dict[str, Any]) -> ShardInfo:
        entries = [
            SampleEntry(**{**s, "members": {k: tuple(v) for k, v in s["members"].items()}})
            for s in data["samples"]
        ]
        return ShardInfo(**{**data, "samples": tuple(entries)})


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
                entries.append(_add_sample(tar, sample, spec.time.sample_rate_hz))
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
    write_text(folder / f"{name}.json", json.dumps(asdict(info), sort_keys=True))
    return info


def finished_shard(folder: Path, number: int, key: str) -> ShardInfo | None:
    """The sidecar of a shard that this very work finished earlier, or None.

    A sidecar of other work, or whose tar has another size, counts as unfinished.
    """
    sidecar = folder / f"{number:06d}.json"
    tar = folder / f"{number:06d}.tar"
    try:
        info = ShardInfo.from_json(json.loads(sidecar.read_bytes()))
        same = info.key == key and tar.stat().st_size == info.n_bytes
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return info if same else None


def write_index(folder: Path, spec: StreamSpec, shards: Iterable[ShardInfo]) -> None:
    """Declares the folder finished. Shards that are not listed are removed as left-overs."""
    listed = sorted(shards, key=lambda s: s.name)
    names = {s.name for s in listed}
    for stray in folder.glob("[0-9]" * 6 + ".tar"):
        if stray.name not in names:
            stray.with_suffix(".json").unlink(missing_ok=True)
            stray.unlink(missing_ok=True)
    index = {
        "schema": SCHEMA_VERSION,
        "fingerprint": spec.fingerprint,
        "spec": spec.to_json(),
        "shards": [
            {
                "name": s.name,
                "sha256": s.sha256,
                "n_bytes": s.n_bytes,
                "n_streams": len(s.samples),
                "n_samples": sum(e.n_samples for e in s.samples),
                "n_tokens": sum(e.n_tokens for e in s.samples),
            }
            for s in listed
        ],
    }
    write_text(folder / INDEX_NAME, json.dumps(index, indent=1, sort_keys=True))


def _add_sample(tar: tarfile.TarFile, sample: StreamSample, rate_hz: int) -> SampleEntry:
    tokens = np.stack((sample.ids.astype(np.int32), sample.roles.astype(np.int32)))
    record = json.dumps(sample.record.to_json(), sort_keys=True, ensure_ascii=False)
    parts = {"json": record.encode(), "tokens.npy": _npy(tokens)}
    if len(sample.pcm):
        parts = {"flac": flac_bytes(sample.pcm, rate_hz), **parts}
    members = {}
    for extension, data in parts.items():
        header = tarfile.TarInfo(f"{sample.record.id}.{extension}")
        header.size = len(data)
        tar.addfile(header, io.BytesIO(data))
        # After addfile the stream stands behind the padded data.
        padded = -(-len(data) // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
        members[extension] = (int(tar.offset) - padded, len(data))
    return SampleEntry(
        id=sample.record.id,
        n_samples=len(sample.pcm),
        n_tokens=len(sample.ids),
        n_replies=len(sample.record.replies),
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
