"""Rows of corpus tables: located, checked field by field, read one at a time.

A row that breaks a rule raises `BadRow`; `usable` turns that into a `Drop` that names the file
and line, and goes on with the next row.
"""

from __future__ import annotations

import csv
import gzip
import io
import math
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol, TypeVar

from data_build.drops import Drop, Report
from data_build.sources.source import STEP, BadRow, shortened
from soundflow.errors import UserError

T = TypeVar("T")


class Located(Protocol):
    """Anything that knows its file and line."""

    @property
    def where(self) -> str: ...


L = TypeVar("L", bound=Located)

COLUMNS_SHOWN = 8

# No record is longer; a file without line ends must not be read into memory whole.
MAX_LINE_BYTES = 1 << 26

# No recording is longer than a year, in whatever unit its times are.
_LONGEST_S = 1000.0 * 366 * 86_400

# What data frames write where there is no value.
NOT_A_VALUE = frozenset(("nan", "NaN", "<NA>", "None", "NaT"))

# The first bytes of what people name like a table although it is none.
_OTHER_FILES = {
    b"PK\x03\x04": "a spreadsheet or a zip archive",
    b"\xd0\xcf\x11\xe0": "an old spreadsheet",
    b"\x1f\x8b": "compressed (gzip)",
    b"BZh": "compressed (bzip2)",
    b"\xfd7zXZ\x00": "compressed (xz)",
    b"\x28\xb5\x2f\xfd": "compressed (zstd)",
    b"PAR1": "Parquet",
    b"SQLite ": "a database",
    b"%PDF": "a PDF",
    b"\xff\xfe\x00\x00": "UTF-32",
    b"\x00\x00\xfe\xff": "UTF-32",
}

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
        if found:
            return found
        if self.data and not any(name in self.data for name in names):
            others = ", ".join(list(self.data)[:COLUMNS_SHOWN])
            raise BadRow(f"has no {' / '.join(names)}, but {shortened(others)}")
        raise BadRow(f"{' / '.join(names)} is missing or empty")

    def text_or(self, default: str, *names: str) -> str:
        for name in names:
            value = self.data.get(name)
            if value is None or (isinstance(value, float) and math.isnan(value)):
                continue
            if isinstance(value, bool) or not isinstance(value, str | int | float):
                raise BadRow(f"{name} is not text but {type(value).__name__}")
            checked = encodable(str(value).strip(), name)
            if checked and checked not in NOT_A_VALUE:
                return checked
        return default

    def seconds(self, name: str) -> float:
        """A time in seconds.

        Raises:
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
            raise BadRow(f"{name} is not a number", _short(value)) from None
        if isinstance(value, bool) or not 0 <= number <= _LONGEST_S:  # False for NaN
            raise BadRow(f"{name} is not a time in seconds", _short(value))
        return number / 1000 if name.endswith("_ms") else number

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
            report(error.drop(row.where))
            continue
        yield made


def open_binary(path: Path) -> IO[bytes]:
    """Opens a file of text, unpacking ``.gz``.

    Raises:
        UserError: if it cannot be opened, or its first bytes are not those of UTF-8 text.
    """
    try:
        file = path.open("rb")
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file", "see docs/sources.md for the tree") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{path}: cannot be read ({reason})", "check permissions") from error
    opened: IO[bytes] = gzip.GzipFile(fileobj=file) if path.suffix == ".gz" else file  # type: ignore[assignment]
    try:
        head = opened.read(8)
        opened.seek(0)
    except gzip.BadGzipFile as error:
        raise UserError(f"{path}: is not compressed", "take .gz off its name") from error
    except BREAKS_OFF:
        return opened  # said where it is read
    found = _not_text(head)
    if found is not None:
        opened.close()
        raise UserError(f"{path}: is {found}, not UTF-8 text", "save it as UTF-8 text")
    return opened


def _not_text(head: bytes) -> str | None:
    """What a file is that begins so, where that is no text in UTF-8."""
    for magic, name in _OTHER_FILES.items():
        if head.startswith(magic):
            return name
    marked = head.startswith((b"\xff\xfe", b"\xfe\xff"))
    return "UTF-16" if marked or head[:2].count(0) == head[2:4].count(0) == 1 else None


def text_lines(path: Path, report: Report) -> Iterator[tuple[int, str]]:
    """(line number from 1, line without its end) for the non-empty lines.

    A line that is not UTF-8 is reported; a truncated file (gzip) is reported at its end.
    """
    number = 0
    with open_binary(path) as file:
        while True:
            try:
                raw = file.readline(MAX_LINE_BYTES)
            except BREAKS_OFF as error:
                report(BadRow("the file is truncated", error).drop(f"{path}:{number + 1}"))
                return
            if not raw:
                return
            number += 1
            if len(raw) == MAX_LINE_BYTES:
                report(Drop(STEP, f"{path}:{number}", f"is longer than {MAX_LINE_BYTES} bytes"))
                return
            if not raw.strip():
                continue
            try:
                line = raw.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError:
                report(Drop(STEP, f"{path}:{number}", "is not valid UTF-8"))
                continue
            yield number, line.rstrip("\r\n")


def tsv_rows(path: Path, report: Report) -> Iterator[Row]:
    """Rows of a tab-separated table whose first line names the columns; quotes mean nothing.

    Raises:
        UserError: if the file has no header line.
    """
    cells = ((number, line.split("\t")) for number, line in text_lines(path, report))
    yield from _named(path, cells, report)


def csv_rows(path: Path, report: Report) -> Iterator[Row]:
    """Rows of a CSV whose first line names the columns, separated by commas or, where the header
    has none, by semicolons, tabs or bars.

    Raises:
        UserError: if the file has no header line.
    """
    yield from _named(path, csv_cells(path, report, delimiter=_delimiter(path)), report)


def _named(path: Path, lines: Iterator[tuple[int, list[str]]], report: Report) -> Iterator[Row]:
    _, first = next(lines, (0, []))
    header = [cell.strip() for cell in first]
    if not any(header):
        raise UserError(f"{path}: has no header line", "its first line must name the columns")
    if twice := {name for name in header if name and header.count(name) > 1}:
        raise UserError(
            f"{path}: names the column {min(twice)!r} twice", "give every column its own name"
        )
    yield from named_rows(path, header, lines, report)


def named_rows(
    path: Path,
    header: Sequence[str],
    lines: Iterable[tuple[int, Sequence[str]]],
    report: Report,
) -> Iterator[Row]:
    """Rows of numbered cells; one with more or fewer cells than the header is reported."""
    for number, cells in lines:
        where = f"{path}:{number}"
        if len(cells) != len(header):
            about = f"{len(cells)}, the header {len(header)}"
            report(BadRow("has a different number of columns than the header", about).drop(where))
            continue
        yield Row(where, dict(zip(header, cells, strict=True)))


def _delimiter(path: Path) -> str:
    with open_binary(path) as raw:
        try:
            head = raw.readline(1 << 16).decode("utf-8", errors="replace")
        except BREAKS_OFF:
            return ","
    return "," if "," in head else max(";\t|", key=head.count) if head else ","


def csv_cells(
    path: Path, report: Report, *, delimiter: str = ",", skip_space: bool = False
) -> Iterator[tuple[int, list[str]]]:
    """(number of its first line, cells) of the records of a CSV; quoted cells may span lines.

    An unclosed quote would swallow the lines after it: only its own line is reported, and reading
    continues with the next.
    """
    with open_binary(path) as raw, _text(raw) as file:
        lines = _Lines(path, file, report)
        while True:
            lines.forget()
            reader = csv.reader(
                lines, delimiter=delimiter, skipinitialspace=skip_space, strict=True
            )
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                reason = "has an unclosed quote" if lines.taken > 1 else f"is not CSV: {error}"
                report(Drop(STEP, f"{path}:{lines.first}", reason))
                lines.keep_first()
                continue
            if cells:
                yield lines.first, cells


class _Lines:
    """The lines of a file, those of the record at hand kept so that they can be read again."""

    def __init__(self, path: Path, file: IO[str], report: Report) -> None:
        self._path, self._file, self._report = path, file, report
        self._again: list[str] = []
        self._held: list[str] = []
        self.first = 1

    @property
    def taken(self) -> int:
        return len(self._held)

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        if self._again:
            line = self._again.pop()
        else:
            try:
                line = self._file.readline(MAX_LINE_BYTES)
            except BREAKS_OFF as error:
                where = f"{self._path}:{self.first + self.taken}"
                self._report(BadRow("the file is truncated", error).drop(where))
                raise StopIteration from None
        if not line:
            raise StopIteration
        self._held.append(line)
        return line

    def forget(self) -> None:
        """The record at hand is done."""
        self.first += self.taken
        self._held = []

    def keep_first(self) -> None:
        """Only the first line of the record is done; the others are read again."""
        self._again += reversed(self._held[1:])
        self._held = self._held[:1]


def _text(raw: IO[bytes]) -> IO[str]:
    # Bad bytes survive as lone surrogates, which `encodable` then refuses row by row.
    return io.TextIOWrapper(raw, "utf-8-sig", errors="surrogateescape", newline="")


def _short(value: object) -> str:
    text = ascii(value)
    return text if len(text) <= 40 else text[:37] + "..."
