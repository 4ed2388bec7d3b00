"""Events as JSON, one on each line, for programs (docs/events.md)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TextIO

from inference.events import to_json
from inference.feed import SessionOutput
from soundflow.protocol.timebase import TimeBase


class JsonLines:
    """Writes a line for each recording that begins and for each event, at once."""

    def __init__(self, file: TextIO, time: TimeBase) -> None:
        self._file = file
        self._time = time

    def show(self, output: SessionOutput) -> None:
        if output.begins is not None:
            at_s = self._time.seconds(output.at_samples)
            self._line(event="recording_started", name=output.begins.name, time_s=at_s)
        for event in output.events:
            self._line(**to_json(event))

    def close(self) -> None:
        """Every line is out already."""

    def _line(self, **fields: object) -> None:
        print_line(fields, self._file)


def print_line(fields: Mapping[str, object], file: TextIO | None = None) -> None:
    """To ``file``, or standard output, at once."""
    print(json.dumps(fields, ensure_ascii=False), file=file, flush=True)
