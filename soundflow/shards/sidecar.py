"""The sidecar of a shard: what made it, its checksum, and the position of every sample in it.

JSON in lines: a checksum of all bytes after the first line, so that a damaged one is detected; what
is said of the shard; then one line for each sample, of which a reader parses the one it needs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from soundflow.shards.lengths import StreamLengths, Turn

_SAMPLES = ', "samples": ['


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
    samples: Sequence[SampleEntry]
    extra: dict[str, Any]

    def to_text(self) -> str:
        about = _json({k: v for k, v in vars(self).items() if k != "samples"})
        entries = (f"{',' if n else ''}{_json(asdict(s))}" for n, s in enumerate(self.samples))
        return sealed("\n".join((about[:-1] + _SAMPLES, *entries, "]}")))

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
        """The content of a sidecar, whose samples are parsed when they are asked for.

        Raises:
            ValueError: if it is damaged.
        """
        about, *lines, _ = unsealed(text).splitlines()
        data = json.loads(about.removesuffix(_SAMPLES.encode()) + b"}")
        try:
            return ShardInfo(**data, samples=_Entries(lines))
        except TypeError as error:
            raise ValueError(f"not a sidecar of this version: {error}") from error


class _Entries(Sequence[SampleEntry]):
    """The lines of the samples of a sidecar."""

    def __init__(self, lines: list[bytes]) -> None:
        self._lines = lines

    def __len__(self) -> int:
        return len(self._lines)

    def __getitem__(self, at: Any) -> Any:
        data = json.loads(self._lines[at].removeprefix(b","))
        lengths = data["lengths"]
        turns = tuple(Turn(*turn) for turn in lengths["turns"])
        data["lengths"] = StreamLengths(**{**lengths, "turns": turns})
        data["members"] = {name: Member(*member) for name, member in data["members"].items()}
        return SampleEntry(**data)


def sealed(content: str) -> str:
    """A JSON document of ``content``, which is JSON too, with its checksum in the first line."""
    rest = f"{content}}}\n"
    return f"{_first_line(rest.encode())}\n{rest}"


def unsealed(text: bytes) -> bytes:
    """The inverse of `sealed`.

    Raises:
        ValueError: if a byte differs from what was written.
    """
    first, _, rest = text.partition(b"\n")
    if first != _first_line(rest).encode():
        raise ValueError("its checksum differs from its content")
    return rest.removesuffix(b"}\n")


def file_checksum(path: Path) -> str | None:
    """SHA-256 of a file in hex; None where it cannot be read, as a failing disk has it."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def _first_line(rest: bytes) -> str:
    return f'{{"checksum": "{hashlib.sha256(rest).hexdigest()}", "content":'


def _json(data: dict[str, Any]) -> str:
    plain = json.loads(json.dumps(data))  # keys that are numbers become text, in another order
    return json.dumps(plain, sort_keys=True)
