"""One JSON object on each line: the format of all published data.

Errors name file and line, because such files are written by hand and by other people's scripts.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from soundflow.atomic import atomic_write
from soundflow.errors import UserError

T = TypeVar("T")
OnBadLine = Callable[[int, str], None]


def read_lines(
    path: Path, parse: Callable[[int, dict[str, Any]], T], on_bad: OnBadLine | None = None
) -> Iterator[T]:
    """Parses a file line by line; never holds more than one.

    Args:
        parse: (index of the object, counted from 0 without blank lines; the object) -> record; it
            raises ValueError for an invalid line.
        on_bad: takes (line number, reason) of a bad line, which is then skipped. Without it reading
            ends at the first bad line.

    Raises:
        UserError: if the file cannot be read, or at a bad line where there is no ``on_bad``.
    """
    try:
        with path.open("rb") as file:
            index = 0
            for number, raw in enumerate(file, start=1):
                if not raw.strip():
                    continue
                try:
                    yield parse(index, _object(raw))
                except ValueError as error:  # JSON and UTF-8 errors are ValueErrors as well
                    if on_bad is None:
                        raise UserError(
                            f"{path}:{number}: {error}", "fix or remove the line"
                        ) from error
                    on_bad(number, str(error))
                index += 1
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file", "check the path") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})", "check the path") from error


def write_lines(path: Path, rows: Iterable[dict[str, Any]]) -> int:
    """Writes ``rows`` atomically, text as it is (not escaped to ASCII). Returns how many."""
    count = 0
    with atomic_write(path) as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")
            count += 1
    return count


def _object(raw: bytes) -> dict[str, Any]:
    try:
        data = json.loads(raw.decode().strip())
    except json.JSONDecodeError as error:  # its own line number would be that within the line
        raise ValueError(f"not JSON, {error.msg} (column {error.colno})") from error
    if not isinstance(data, dict):
        raise ValueError(f"expected a JSON object, got {type(data).__name__}")
    return data


def text_field(data: dict[str, Any], key: str) -> str:
    """A field that must be there and be a string.

    Raises:
        ValueError: naming the field.
    """
    value = data.get(key)
    if not isinstance(value, str):
        raise ValueError(f"{key!r} must be text, got {value!r}")
    return value


def optional_text(data: dict[str, Any], key: str) -> str | None:
    """A field that may be absent; the published files also write null, "" and "None" for that."""
    value = data.get(key)
    if value in (None, "", "None"):
        return None
    return text_field(data, key)
