"""Rows of corpus tables: located, checked field by field, read one at a time.

A row that breaks a rule raises `BadRow`; `usable` turns that into a `Drop` that names the file
and line, and goes on with the next row.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol, TypeVar

from data_build.drops import Drop
from data_build.sources.source import ALL_ROWS, STEP, BadRow, Report, WorkerShard
from soundflow.errors import UserError

T = TypeVar("T")


class Located(Protocol):
    """Anything that knows its file and line."""

    @property
    def where(self) -> str: ...


L = TypeVar("L", bound=Located)

# No record is longer; a file without line ends must not be read into memory whole.
MAX_LINE_BYTES = 1 << 26

# What reading a cut or damaged file (also a gzip) raises.
BREAKS_OFF = (OSError, EOFError, zlib.error)


@dataclass(frozen=True)
class Row:
    """One record of a corpus table; ``where`` is its file and line."""

    where: str
    data: Mapping[str, Any]

    def text(self, *names: str) -> str:
        """The first of ``names`` that is filled in, without outer white space.

        Raises:
            BadRow: if none is, or it is not text.
        """
        found = self.text_or("", *names)
        if not found:
            raise BadRow(f"{' / '.join(names)} is missing or empty")
        return found

    def text_or(self, default: str, *names: str) -> str:
        for name in names:
            value = self.data.get(name)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, str | int | float):
                raise BadRow(f"{name} is not text but {type(value).__name__}")
            checked = encodable(str(value).strip(), name)
            if checked:
                return checked
        return default

    def seconds(self, name: str) -> float:
        """Raises:
        BadRow: if the field is missing, not a number, negative or not finite.
        """
        found = self.seconds_or_none(name)
        if found is None:
            raise BadRow(f"{name} is missing")
        return found

    def seconds_or_none(self, name: str) -> float | None:
        value = self.data.get(name)
        if value is None or value == "":
            return None
        try:
            number = float(value)
        except (TypeError, ValueError, OverflowError):
            raise BadRow(f"{name} is not a number: {_short(value)}") from None
        if isinstance(value, bool) or not math.isfinite(number) or number < 0:
            raise BadRow(f"{name} is not a time in seconds: {_short(value)}")
        return number

    def children(self, name: str) -> list[Row]:
        """The list of records under ``name``.

        Raises:
            BadRow: if it is missing or holds anything but records.
        """
        value = self.data.get(name)
        if not isinstance(value, list) or not all(isinstance(v, Mapping) for v in value):
            raise BadRow(f"{name} is not a list of records")
        return [Row(f"{self.where} {name}[{i}]", v) for i, v in enumerate(value)]


def encodable(text: str, name: str) -> str:
    """``text`` itself, if it can be written as UTF-8 and holds no NUL."""
    if "\0" in text:
        raise BadRow(f"{name} holds a NUL character")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise BadRow(f"{name} is not valid UTF-8") from None
    return text


def usable(rows: Iterable[L], make: Callable[[L], T], report: Report) -> Iterator[T]:
    """``make`` of every row; a row that it refuses is reported and left out."""
    for row in rows:
        try:
            made = make(row)
        except BadRow as error:
            report(Drop(STEP, row.where, str(error)))
            continue
        yield made


def open_binary(path: Path) -> IO[bytes]:
    """Opens a file, unpacking ``.gz``.

    Raises:
        UserError: if it cannot be opened.
    """
    try:
        file = path.open("rb")
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file", "see docs/sources.md for the tree") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{path}: cannot be read ({reason})", "check permissions") from error
    return gzip.GzipFile(fileobj=file) if path.suffix == ".gz" else file  # type: ignore[return-value]


def text_lines(
    path: Path, report: Report, part: WorkerShard = ALL_ROWS
) -> Iterator[tuple[int, str]]:
    """(line number from 1, line without its end) for the non-empty lines of ``part``.

    A line that is not UTF-8 is reported; a file that breaks off (gzip) is reported where it does.
    """
    number = 0
    with open_binary(path) as file:
        while True:
            try:
                raw = file.readline(MAX_LINE_BYTES)
            except BREAKS_OFF as error:
                report(Drop(STEP, f"{path}:{number + 1}", f"the file breaks off: {error}"))
                return
            if not raw:
                return
            number += 1
            if len(raw) == MAX_LINE_BYTES:
                report(Drop(STEP, f"{path}:{number}", f"has no end in {MAX_LINE_BYTES} bytes"))
                return
            if not part.takes(number - 1) or not raw.strip():
                continue
            try:
                line = raw.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError:
                report(Drop(STEP, f"{path}:{number}", "is not valid UTF-8"))
                continue
            yield number, line.rstrip("\r\n")


def tsv_rows(path: Path, report: Report, part: WorkerShard = ALL_ROWS) -> Iterator[Row]:
    """Rows of a tab-separated table whose first line names the columns; quotes mean nothing.

    Raises:
        UserError: if the file has no header line.
    """
    lines = text_lines(path, report)
    header: list[str] | None = None
    for number, line in lines:
        if header is None:
            header = line.split("\t")
            continue
        if not part.takes(number):
            continue
        cells = line.split("\t")
        if len(cells) != len(header):
            reason = f"has {len(cells)} columns, the header {len(header)}"
            report(Drop(STEP, f"{path}:{number}", reason))
            continue
        yield Row(f"{path}:{number}", dict(zip(header, cells, strict=True)))
    if header is None:
        raise UserError(f"{path}: has no header line", "fetch the file again")


def csv_cells(
    path: Path, report: Report, *, delimiter: str = ",", skip_space: bool = False
) -> Iterator[tuple[int, list[str]]]:
    """(last line number, cells) of a CSV with quoted fields, which may span lines."""
    with (
        open_binary(path) as raw,
        _text(raw) as file,
    ):
        reader = csv.reader(file, delimiter=delimiter, skipinitialspace=skip_space)
        while True:
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                report(Drop(STEP, f"{path}:{reader.line_num}", f"is not CSV: {error}"))
                continue
            except BREAKS_OFF as error:
                reason = f"the file breaks off: {error}"
                report(Drop(STEP, f"{path}:{reader.line_num + 1}", reason))
                return
            if cells:
                yield reader.line_num, cells


def csv_rows(path: Path, report: Report, part: WorkerShard = ALL_ROWS) -> Iterator[Row]:
    """Rows of a CSV whose first line names the columns.

    Raises:
        UserError: if the file has no header line.
    """
    header: list[str] | None = None
    for index, (number, cells) in enumerate(csv_cells(path, report)):
        if header is None:
            header = [cell.strip() for cell in cells]
            continue
        if not part.takes(index):
            continue
        if len(cells) != len(header):
            reason = f"has {len(cells)} columns, the header {len(header)}"
            report(Drop(STEP, f"{path}:{number}", reason))
            continue
        yield Row(f"{path}:{number}", dict(zip(header, cells, strict=True)))
    if header is None:
        raise UserError(f"{path}: has no header line", "fetch the file again")


def json_lines(path: Path, report: Report, part: WorkerShard = ALL_ROWS) -> Iterator[Row]:
    """The objects of a JSON-lines file (also ``.gz``)."""
    for number, line in text_lines(path, report, part):
        where = f"{path}:{number}"
        value = parse_json(line, where, report)
        if isinstance(value, dict):
            yield Row(where, value)
        elif value is not None:
            report(Drop(STEP, where, f"is not a JSON object but {type(value).__name__}"))


def parse_json(text: str | bytes, where: str, report: Report) -> Any:
    """The value, or None after reporting why there is none."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        report(Drop(STEP, where, f"is not JSON: {error}"))
        return None
    if value is None:
        report(Drop(STEP, where, "is null"))
    return value


def _text(raw: IO[bytes]) -> IO[str]:
    # Bad bytes survive as lone surrogates, which `encodable` then refuses row by row.
    return io.TextIOWrapper(raw, "utf-8-sig", errors="surrogateescape", newline="")


def _short(value: object) -> str:
    text = ascii(value)
    return text if len(text) <= 40 else text[:37] + "..."
