"""Tables of clips or dialogues on disk, with random access and nothing held in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, overload

import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter

from data_build.records import Clip, Dialogue
from soundflow.atomic import atomic_write

T = TypeVar("T")
_OPEN_TABLES = 64  # two files each; a recipe may have hundreds of cues, each with a table a split
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
        about = path.stat()
        self._written = about.st_ino, about.st_mtime_ns
        self._rows = len(_opened(path, self._written)[0]) - 1

    def __len__(self) -> int:
        return self._rows

    @overload
    def __getitem__(self, position: int) -> T: ...
    @overload
    def __getitem__(self, position: slice) -> Sequence[T]: ...
    def __getitem__(self, position: int | slice) -> T | Sequence[T]:
        if isinstance(position, slice):
            return [self[i] for i in range(*position.indices(len(self)))]
        if not 0 <= position < len(self):
            raise IndexError(f"item {position} of {len(self)} in {self._path}")
        offsets, file = _opened(self._path, self._written)
        start, end = int(offsets[position]), int(offsets[position + 1])
        file.seek(start)
        return self._parse(file.read(end - start))

    def __iter__(self) -> Iterator[T]:
        with self._path.open("rb") as file:
            for line in file:
                yield self._parse(line)


@lru_cache(maxsize=_OPEN_TABLES)
def _opened(path: Path, written: tuple[int, int]) -> tuple[npt.NDArray[np.int64], BinaryIO]:
    """The offsets of the rows of a table, and its file; ``written`` changes with it."""
    del written
    return np.load(path.with_suffix(".npy"), mmap_mode="r", allow_pickle=False), path.open("rb")
