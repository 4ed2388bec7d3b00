"""The sidecar of a shard: what made it, its checksum, and the position of every sample in it.

A sidecar carries a checksum of itself, so that a damaged one is detected.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from soundflow.shards.lengths import StreamLengths, Turn
from soundflow.stored_json import parsed


class Member(NamedTuple):
    """The bytes of one file of a sample in its tar."""

    offset: int
    size: int
    crc32: int


@dataclass(frozen=True)
class SampleEntry:
    """One sample: its members by extension, and what can be known without reading them."""

    id: str
    n_samples: int
    n_replies: int
    lengths: StreamLengths
    members: dict[str, Member]


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

    def to_text(self) -> str:
        return sealed(asdict(self))

    @staticmethod
    def read(path: Path) -> ShardInfo:
        """Reads a sidecar.

        Raises:
            OSError: if there is none.
            ValueError: if it is damaged.
        """
        return ShardInfo.parsed(path.read_bytes())

    @staticmethod
    def parsed(text: bytes) -> ShardInfo:
        """The content of a sidecar; ValueError if it is damaged."""
        data = unsealed(text)
        try:
            entries = [
                SampleEntry(
                    **{
                        **sample,
                        "lengths": _lengths(sample["lengths"]),
                        "members": {k: Member(*m) for k, m in sample["members"].items()},
                    }
                )
                for sample in data["samples"]
            ]
            return ShardInfo(**{**data, "samples": tuple(entries)})
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a sidecar of this version: {error}") from error


def _lengths(data: dict[str, Any]) -> StreamLengths:
    return StreamLengths(**{**data, "turns": tuple(Turn(*turn) for turn in data["turns"])})


def sealed(data: dict[str, Any], indent: int | None = None) -> str:
    """JSON of ``data`` with a checksum of its own."""
    data = json.loads(json.dumps(data))  # keys that are numbers become text, in another order
    whole = {"checksum": _checksum(data), "content": data}
    return json.dumps(whole, sort_keys=True, indent=indent)


def unsealed(text: bytes) -> dict[str, Any]:
    """The inverse of `sealed`.

    Raises:
        ValueError: if a byte differs from what was written.
    """
    whole = parsed(text)
    try:
        data: dict[str, Any] = whole["content"]
        same = whole["checksum"] == _checksum(data)
    except (KeyError, TypeError) as error:
        raise ValueError("it has no checksum") from error
    if not same:
        raise ValueError("its checksum differs from its content")
    return data


def file_checksum(path: Path) -> str | None:
    """SHA-256 of a file in hex; None where it cannot be read, as a failing disk has it."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def _checksum(data: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()
