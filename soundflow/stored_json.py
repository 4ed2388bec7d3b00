"""JSON that an earlier run, another machine or another program wrote, and that may be damaged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from soundflow.errors import UserError


def parsed(text: str | bytes) -> Any:
    """The value that a JSON text stands for.

    Raises:
        ValueError: if it is not JSON, not UTF-8, or nested more deeply than anything sensible.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def finished_lines(path: Path) -> list[bytes]:
    """The lines of a file that a run adds to; a last one cut short by a crash is left out.

    There are none where there is no such file.
    """
    lines = path.read_bytes().splitlines(keepends=True) if path.is_file() else []
    if lines and not lines[-1].endswith(b"\n"):
        lines.pop()
    return lines


def read_object(path: Path, *, absent: str, damaged: str) -> dict[str, Any]:
    """The JSON object in a file.

    Args:
        absent, damaged: what to do where the file is missing, or is not a JSON object.

    Raises:
        UserError: in either case.
    """
    try:
        data = parsed(path.read_bytes())
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file", absent) from error
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({error})", damaged) from error
    if not isinstance(data, dict):
        raise UserError(f"{path}: expected a JSON object", damaged)
    return data
