"""One progress bar for every long command, on stderr."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from soundflow.logs import ERR


@contextmanager
def stages() -> Iterator[Callable[[str, int, int], None]]:
    """Yields ``show(stage, done, total)``: one bar for each stage, in the order they begin."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    bars = Progress(*columns, console=ERR)
    known = {}

    def show(stage: str, done: int, total: int) -> None:
        if stage not in known:
            known[stage] = bars.add_task(stage, total=total)
            bars.start()
        bars.update(known[stage], completed=done, total=total)

    try:
        yield show
    finally:
        if known:  # otherwise it would leave an empty line
            bars.stop()
