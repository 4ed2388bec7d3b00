"""Clips as a file of lines: any number of them, any one at once, nothing held in memory."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO, overload

import numpy as np

from data_build.records import AudioRef, Clip, Origin, Word
from soundflow.atomic import replacing


class TableWriter(AbstractContextManager["TableWriter"]):
    """Writes ``NAME.jsonl`` and its line offsets; both appear only when the block ends well."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stack = ExitStack()
        self._offsets: list[int] = [0]
        self._digest = hashlib.sha256()
        self._file: BinaryIO

    def __enter__(self) -> TableWriter:
        self._file = self._stack.enter_context(replacing(self._path))
        return self

    def add(self, clip: Clip) -> None:
        line = json.dumps(asdict(clip), sort_keys=True, ensure_ascii=False).encode() + b"\n"
        self._file.write(line)
        self._digest.update(line)
        self._offsets.append(self._offsets[-1] + len(line))

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)
        if error[0] is None:
            with replacing(self._path.with_suffix(".npy")) as file:
                np.save(file, np.array(self._offsets, np.int64), allow_pickle=False)

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def __len__(self) -> int:
        return len(self._offsets) - 1


class ClipTable(Sequence[Clip]):
    """Reads what `TableWriter` wrote."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offsets = np.load(path.with_suffix(".npy"), mmap_mode="r", allow_pickle=False)
        self._file: BinaryIO | None = None

    def __len__(self) -> int:
        return len(self._offsets) - 1

    @overload
    def __getitem__(self, position: int) -> Clip: ...
    @overload
    def __getitem__(self, position: slice) -> Sequence[Clip]: ...
    def __getitem__(self, position: int | slice) -> Clip | Sequence[Clip]:
        if isinstance(position, slice):
            return [self[i] for i in range(*position.indices(len(self)))]
        if not 0 <= position < len(self):
            raise IndexError(f"clip {position} of {len(self)} in {self._path}")
        if self._file is None:
            self._file = self._path.open("rb")
        start, end = int(self._offsets[position]), int(self._offsets[position + 1])
        self._file.seek(start)
        return clip_from_json(json.loads(self._file.read(end - start)))

    def __iter__(self) -> Iterator[Clip]:
        with self._path.open("rb") as file:
            for line in file:
                yield clip_from_json(json.loads(line))


def clip_from_json(data: dict[str, Any]) -> Clip:
    """The inverse of ``asdict(clip)``."""
    return Clip(
        **{
            **data,
            "audio": AudioRef(**data["audio"]),
            "origin": Origin(**data["origin"]),
            "labels": tuple(data["labels"]),
            "words": tuple(Word(**w) for w in data["words"]),
        }
    )
