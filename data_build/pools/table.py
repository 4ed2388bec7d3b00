"""Tables of clips or dialogues on disk, with random access and nothing held in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, overload

import numpy as np
from pydantic import TypeAdapter

from data_build.records import Clip, Dialogue
from soundflow.atomic import atomic_write

T = TypeVar("T")
_ADAPTERS: dict[type[Any], TypeAdapter[Any]] = {of: TypeAdapter(of) for of in (Clip, Dialogue)}


class TableWriter(AbstractContextManager["TableWriter"]):
    """Writes ``NAME.jsonl`` and its line offsets; both appear only when the block ends well."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stack = ExitStack()
        self._offsets: list[int] = [0]
        self._digest = hashlib.sha256()
        self._file: BinaryIO

    def __enter__(self) -> TableWriter:
        self._file = self._stack.enter_context(atomic_write(self._path))
        return self

    def add(self, item: Clip | Dialogue) -> None:
        line = _ADAPTERS[type(item)].dump_json(item) + b"\n"
        self._file.write(line)
        self._digest.update(line)
        self._offsets.append(self._offsets[-1] + len(line))

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)
        if error[0] is None:
            with atomic_write(self._path.with_suffix(".npy")) as file:
                np.save(file, np.array(self._offsets, np.int64), allow_pickle=False)

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def __len__(self) -> int:
        return len(self._offsets) - 1


class Table(Sequence[T]):
    """Reads what `TableWriter` wrote: items ``of`` one type."""

    def __init__(self, path: Path, of: type[T]) -> None:
        self._path = path
        self._parse: Callable[[bytes], T] = _ADAPTERS[of].validate_json
        self._offsets = np.load(path.with_suffix(".npy"), mmap_mode="r", allow_pickle=False)
        self._file: BinaryIO | None = None

    def __len__(self) -> int:
        return len(self._offsets) - 1

    @overload
    def __getitem__(self, position: int) -> T: ...
    @overload
    def __getitem__(self, position: slice) -> Sequence[T]: ...
    def __getitem__(self, position: int | slice) -> T | Sequence[T]:
        if isinstance(position, slice):
            return [self[i] for i in range(*position.indices(len(self)))]
        if not 0 <= position < len(self):
            raise IndexError(f"item {position} of {len(self)} in {self._path}")
        if self._file is None:
            self._file = self._path.open("rb")
        start, end = int(self._offsets[position]), int(self._offsets[position + 1])
        self._file.seek(start)
        return self._parse(self._file.read(end - start))

    def __iter__(self) -> Iterator[T]:
        with self._path.open("rb") as file:
            for line in file:
                yield self._parse(line)
