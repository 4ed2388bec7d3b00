"""What follows a session: the terminal, JSON lines, a report, a recording on disk, the latency."""

from __future__ import annotations

from typing import Protocol

from inference.feed import SessionOutput


class Observer(Protocol):
    """Is shown everything that goes into a session and comes out of it, in order."""

    def show(self, output: SessionOutput) -> None: ...

    def close(self) -> None:
        """Nothing follows: the session has ended, or an error ended the command."""
