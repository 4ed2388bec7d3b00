"""Progress bars of long commands, on stderr."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

from soundflow.logs import ERR


@contextmanager
def bars_of(*columns: ProgressColumn) -> Iterator[Progress]:
    """Bars that the caller starts with the first of them: without any, no empty line is left."""
    bars = Progress(*columns, console=ERR)
    try:
        yield bars
    finally:
        if bars.tasks:
            bars.stop()


@contextmanager
def stages() -> Iterator[Callable[[str, int, int], None]]:
    """Yields ``show(stage, done, total)``: one bar for each stage, in the order they begin."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    known = {}
    with bars_of(*columns) as bars:

        def show(stage: str, done: int, total: int) -> None:
            if stage not in known:
                known[stage] = bars.add_task(stage, total=total)
                bars.start()
            bars.update(known[stage], completed=done, total=total)

        yield show
