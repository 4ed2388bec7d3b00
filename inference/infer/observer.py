"""What follows a session: the terminal, JSON lines, a report, a recording on disk, the latency."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Protocol, TypeVar

from inference.feed import SessionOutput


class Observer(Protocol):
    """Is shown everything that goes into a session and comes out of it, in order."""

    def show(self, output: SessionOutput) -> None: ...

    def close(self) -> None:
        """Nothing follows: the session has ended, or an error ended the command."""


O = TypeVar("O", bound=Observer)  # noqa: E741 - an observer of any kind


class Observers:
    """Several observers; all are closed at the end of the block, however it ends."""

    def __init__(self) -> None:
        self._all: list[Observer] = []
        self._stack = ExitStack()

    def add(self, observer: O) -> O:
        self._all.append(observer)
        self._stack.callback(observer.close)
        return observer

    def show(self, output: SessionOutput) -> None:
        for observer in self._all:
            observer.show(output)

    def __enter__(self) -> Observers:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()
