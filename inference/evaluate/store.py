"""Outcomes on disk, one line of JSON each: what is there is never decoded again.

Every process appends to a file of its own, so any number of them, on any machines that share the
folder, work on one evaluation. A line is written whole or, after a kill, left without its end and
ignored. The folder is named by all that decides about the outcomes (weights, data, settings), so
outcomes of another model are never taken for those of this one.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from inference.evaluate.outcome import Outcome
from soundflow.atomic import atomic_write, disk_error
from soundflow.errors import UserError

RowT = TypeVar("RowT")


@dataclass(frozen=True)
class Part:
    """One process of several that share the items: the ``index``-th of ``of``, from 0."""

    index: int = 0
    of: int = 1

    def share(self, n_items: int) -> range:
        """The places of its items; all parts together cover each place once."""
        return range(self.index, n_items, self.of)


@dataclass(frozen=True)
class Stored:
    """An outcome and the threshold that it was decoded at (None: of a system without one)."""

    item: str
    threshold: float | None
    outcome: Outcome


_STORED = TypeAdapter(Stored)
_TO_JSON: TypeAdapter[Any] = TypeAdapter(Any)


class OutcomeStore:
    """The outcomes of one system on one set of items.

    Raises:
        UserError: if a file in it was not written by this version.
    """

    def __init__(self, folder: Path, part: Part = Part()) -> None:
        self.folder = folder
        self._path = folder / f"part-{part.index:04d}-of-{part.of:04d}.jsonl"
        self._known: dict[str, list[Stored]] = {}
        self.refresh()

    def refresh(self) -> None:
        """Reads again what all processes have found out: whether nothing is left to do is asked
        after a process has added its own, so that the last one to finish sees all.
        """
        self._known.clear()
        for path in sorted(self.folder.glob("part-*.jsonl")):
            for stored in _read(path):
                self._known.setdefault(stored.item, []).append(stored)

    def of(self, item: str) -> Sequence[Stored]:
        """What is known of an item, in the order in which it was found out."""
        return self._known.get(item, ())

    @contextmanager
    def appending(self) -> Iterator[Appender]:
        """Adds outcomes to the file of this part; each is on disk when `Appender.add` returns.

        Raises:
            UserError: if another process is adding to it, or the disk is full.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            handle = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise disk_error(error, self._path) from error
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise UserError(
                    f"{self._path}: another process works on this part", "wait until it has ended"
                ) from error
            _cut_torn_line(handle)
            yield Appender(handle, self._path, self._known)
        finally:
            os.close(handle)


class Appender:
    """Writes outcomes to the open file of a part."""

    def __init__(self, handle: int, path: Path, known: dict[str, list[Stored]]) -> None:
        self._handle = handle
        self._path = path
        self._known = known

    def add(self, stored: Stored) -> None:
        line = _STORED.dump_json(stored, exclude_defaults=True) + b"\n"
        try:
            written = os.write(self._handle, line)
        except OSError as error:
            raise disk_error(error, self._path) from error
        if written != len(line):  # the next one to append cuts it off
            raise UserError(f"{self._path}: the disk is full", "free some space, then run it again")
        self._known.setdefault(stored.item, []).append(stored)


def _read(path: Path) -> Iterator[Stored]:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):  # a kill in the middle of a write, or another writer's
                return
            try:
                yield _STORED.validate_json(line)
            except ValidationError as error:
                raise UserError(
                    f"{path}: line {number} is no outcome", "delete the file to decode it again"
                ) from error


def _cut_torn_line(handle: int) -> None:
    """Leaves the file at the end of its last whole line, ready to append."""
    size = os.lseek(handle, 0, os.SEEK_END)
    at = size
    while at > 0:
        start = max(0, at - 65536)
        newline = os.pread(handle, at - start, start).rfind(b"\n")
        if newline >= 0:
            at = start + newline + 1
            break
        at = start
    if at < size:
        os.ftruncate(handle, at)
    os.lseek(handle, at, os.SEEK_SET)


def write_rows(path: Path, items: Sequence[str], rows: Sequence[Any]) -> None:
    """One JSON line for each item of a task, in their order; `read_rows` reads them back."""
    lines = (
        _TO_JSON.dump_json({"item": item, "row": row}) + b"\n"
        for item, row in zip(items, rows, strict=True)
    )
    with atomic_write(path) as file:
        file.writelines(lines)


def read_rows(path: Path, row_type: type[RowT]) -> dict[str, RowT]:
    """Item -> row, in the order of the file.

    Raises:
        UserError: if it is missing, or was written by another version.
    """
    adapter = TypeAdapter(row_type)
    try:
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        return {line["item"]: adapter.validate_python(line["row"]) for line in lines}
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file", "run `soundflow evaluate` first") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: cannot be read ({error})", "evaluate again") from error
