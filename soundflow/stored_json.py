"""JSON that an earlier run, another machine or another program wrote, and that may be damaged."""

from __future__ import annotations

import json
from typing import Any


def parsed(text: str | bytes) -> Any:
    """The value that a JSON text stands for.

    Raises:
        ValueError: if it is not JSON, not UTF-8, or nested more deeply than anything sensible.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
