"""What the files beside a recording say of it: ``a.wav`` with ``a.json``, ``a.txt``, ``a.lab`` ...

The convention of WebDataset tars and of plain folders.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from data_build.drops import Report
from data_build.sources.json_stream import parse_json
from data_build.sources.source import BadRow

TEXT_SUFFIXES = {".txt": "text", ".lab": "text", ".cls": "label", ".caption": "caption"}
# A description of a clip; what is larger is no description.
MAX_TEXT_BYTES = 1 << 20
# Labels with times, as HTK and Audacity write them: "0 1500000 sil", "0.00\t1.50\tdog".
_TIMED = re.compile(r"\s*(?:0[ \t]+\d{5,}|\d+\.\d+[ \t]+\d+\.\d+)[ \t]+\S")


def columns_beside(
    texts: Iterable[tuple[str, bytes]], where: str, report: Report
) -> dict[str, Any]:
    """The columns that (suffix, content) pairs give together; the first to name one counts.

    ``.json`` is an object of columns, the others are one column each. A name that a ``.json``
    holds twice is reported.

    Raises:
        BadRow: if one is too large, is not UTF-8, or holds something else.
    """
    columns: dict[str, Any] = {}
    for suffix, content in texts:
        if len(content) > MAX_TEXT_BYTES:
            raise BadRow("has a text of more than a megabyte")
        if suffix == ".json":
            found = parse_json(content, f"{where}.json", report)
            if not isinstance(found, dict):
                raise BadRow("its .json holds no object")
            columns.update(found)
            continue
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError:
            raise BadRow(f"its {suffix} is not valid UTF-8") from None
        if _TIMED.match(text):
            raise BadRow(f"its {suffix} holds labels with times, not a text")
        columns.setdefault(TEXT_SUFFIXES[suffix], text)
    return columns
