"""JSON lines, and JSON documents far larger than memory, one element at a time.

The corpora below ship their index as one JSON document of up to several gigabytes (GigaSpeech,
WebQA, DuReader); the standard library only reads whole documents.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from data_build.drops import Drop, Report
from data_build.sources.rows import BREAKS_OFF, Row, open_binary, text_lines
from data_build.sources.source import STEP, BadRow

BLOCK_BYTES = 1 << 16
# One element of the corpora above is at most some megabytes; a larger one means that its end is
# missing, and searching for it would read the rest of the file into memory.
MAX_ELEMENT_CHARS = 1 << 26

_SPACE = " \t\r\n"
_LONGEST_LITERAL = len("-Infinity")
_decoder = json.JSONDecoder()


class _Broken(Exception):
    """The document becomes invalid JSON; nothing after this place can be used."""


class _Scanner:
    """A window over the text of a JSON file that grows on demand and forgets what was read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._utf8 = codecs.getincrementaldecoder("utf-8-sig")()
        self._window = ""
        self._at = 0
        self._ended = False
        self.forgotten = 0

    def _grow(self, wanted_bytes: int = BLOCK_BYTES) -> bool:
        if self._ended:
            return False
        try:
            block = self._file.read(wanted_bytes)
            more = self._utf8.decode(block, final=not block)
        except UnicodeDecodeError:
            raise _Broken("is not valid UTF-8") from None
        except BREAKS_OFF as error:
            raise _Broken(f"the file is truncated: {error}") from None
        self._ended = not block
        self.forgotten += self._at
        self._window = self._window[self._at :] + more
        self._at = 0
        return True

    def peek(self) -> str:
        """The next character that is not white space; "" at the end."""
        while True:
            while self._at < len(self._window):
                if self._window[self._at] not in _SPACE:
                    return self._window[self._at]
                self._at += 1
            if not self._grow():
                return ""

    def take(self, wanted: str) -> None:
        found = self.peek()
        if found != wanted:
            got = repr(found) if found else "the end of the file"
            raise _Broken(f"expected {wanted!r} at character {self.place}, got {got}")
        self._at += 1

    def first_line(self) -> str:
        """The first line of what the window holds; meaningful while nothing was forgotten."""
        return self._window.partition("\n")[0].strip()

    @property
    def place(self) -> int:
        return self.forgotten + self._at

    def value(self) -> Any:
        """The next whole JSON value."""
        self.peek()
        while True:
            try:
                value, end = _decoder.raw_decode(self._window, self._at)
            except RecursionError:
                raise _Broken(f"is nested too deeply at character {self.place}") from None
            except ValueError as error:
                size = len(self._window) - self._at
                hopeless = size > MAX_ELEMENT_CHARS or not _cut_short(error, len(self._window))
                if hopeless or not self._grow(max(BLOCK_BYTES, size)):
                    raise _Broken(f"is not JSON at character {self.place}: {error}") from None
                continue
            # A number at the very end of the window may go on in the next block.
            if end == len(self._window) and self._grow():
                continue
            self._at = end
            return value


def _cut_short(error: ValueError, window_chars: int) -> bool:
    """Whether more text could fix the error: it is at the end, or a string has no end yet."""
    if not isinstance(error, json.JSONDecodeError):
        return False
    return error.msg.startswith("Unterminated") or error.pos + _LONGEST_LITERAL >= window_chars


def array_items(path: Path, report: Report, key: str | None = None) -> Iterator[tuple[int, Any]]:
    """(index, element) of the array that is the document, or that is under ``key`` in it.

    If the document is truncated, that is reported and the iteration ends.
    """
    with open_binary(path) as file:
        scan = _Scanner(file)
        try:
            if key is not None:
                _enter(scan, key)
            scan.take("[")
            index = 0
            while scan.peek() != "]":
                if index:
                    scan.take(",")
                yield index, scan.value()
                index += 1
        except _Broken as error:
            report(BadRow("becomes invalid JSON", error).drop(str(path)))


def object_items(path: Path, report: Report) -> Iterator[tuple[str, Any]]:
    """(key, value) of the object that is the document; as `array_items` if it is truncated."""
    with open_binary(path) as file:
        scan = _Scanner(file)
        try:
            for key in _keys(scan):
                yield key, scan.value()
        except _Broken as error:
            report(BadRow("becomes invalid JSON", error).drop(str(path)))


def json_lines(path: Path, report: Report) -> Iterator[Row]:
    """The objects of a JSON-lines file (also ``.gz``)."""
    for number, line in text_lines(path, report):
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
        report(BadRow("is not JSON", error).drop(where))
        return None
    if value is None:
        report(Drop(STEP, where, "is null"))
    return value


def documents(path: Path, report: Report) -> Iterator[Row]:
    """The records of a file that may be JSON lines, one array of objects, or one object.

    Publishers use the suffixes ``.json`` and ``.jsonl`` for any of the three.
    """
    shape, only = _shape(path, report)
    if shape == "lines":
        yield from json_lines(path, report)
    elif shape == "array":
        for index, value in array_items(path, report):
            if isinstance(value, dict):
                yield Row(f"{path}[{index}]", value)
            else:
                reason = f"is not a JSON object but {type(value).__name__}"
                report(BadRow(reason).drop(f"{path}[{index}]"))
    elif shape == "object":
        yield Row(f"{path}:1", only)


def _shape(path: Path, report: Report) -> tuple[str, dict[str, Any]]:
    """("lines" | "array" | "object" | "", the object where the file holds just one)."""
    with open_binary(path) as file:
        scan = _Scanner(file)
        try:
            first = scan.peek()
            if first == "[":
                return "array", {}
            if first == "{":
                value = scan.value()
                return ("lines", {}) if scan.peek() else ("object", value)
        except _Broken as error:
            # A broken first line leaves the other lines readable; a lone brace opens a document
            # that spans lines, and that one is lost.
            if scan.first_line() != "{":
                return "lines", {}
            report(BadRow("becomes invalid JSON", error).drop(str(path)))
            return "", {}
    if first:
        return "lines", {}
    report(BadRow("is empty").drop(str(path)))
    return "", {}


def _keys(scan: _Scanner) -> Iterator[str]:
    """The keys of the object that comes next; the caller takes each value."""
    scan.take("{")
    first = True
    while scan.peek() != "}":
        if not first:
            scan.take(",")
        first = False
        key = scan.value()
        if not isinstance(key, str):
            raise _Broken(f"expected a key at character {scan.place}, got {key!r:.40}")
        scan.take(":")
        yield key


def _enter(scan: _Scanner, wanted: str) -> None:
    """Moves to the value under ``wanted`` of the top-level object, skipping what is before."""
    for key in _keys(scan):
        if key == wanted:
            return
        scan.value()
    raise _Broken(f"has no {wanted!r} at its top level")
