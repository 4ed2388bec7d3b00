"""What the processes of a run tell each other, beside gradients.

Before training has connected them, those of a launcher meet as `soundflow.train.launch` says.
Others do not yet: there each function answers with the value of this process.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import TypeVar

import torch.distributed as dist
from lightning.pytorch.utilities import rank_zero_only

from soundflow.errors import EXIT_OK, EXIT_USER, Stopped, UserError
from soundflow.logs import tell
from soundflow.train.launch import meeting

T = TypeVar("T")


def several() -> bool:
    """Whether this process has found the others of its run."""
    return dist.is_available() and dist.is_initialized()


def gathered(value: T) -> list[T]:
    """The value of every rank, in order; all ranks take part."""
    if not several():
        met = meeting()
        return [value] if met is None else met.gathered(value)
    values: list[T | None] = [None] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values  # type: ignore[return-value]


def from_first(value: T) -> T:
    """The value of the first rank; all ranks take part."""
    if not several():
        return gathered(value)[0]
    values: list[T] = [value]
    dist.broadcast_object_list(values, src=0)
    return values[0]


def is_first() -> bool:
    """Whether this is the first process of a run; known before the processes know each other."""
    return bool(rank_zero_only.rank == 0)  # type: ignore[attr-defined]


def told_by_first(error: UserError) -> int:
    """Has the first process tell an error that all of them raise; all take part.

    Returns:
        The exit code of this process.
    """
    if is_first():
        tell(error)
    if meeting() is None:
        # Lightning would kill the first process within seconds if one that it started failed,
        # while it still sends its last metrics or writes its page.
        return EXIT_USER if is_first() else EXIT_OK
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # srun ends all once one of them has failed
    wait_for_first()
    return EXIT_USER


def wait_for_first() -> None:
    """Waits until the first process comes here too, and it for all; for those of a launcher."""
    met = meeting()
    if met is not None:
        met.gathered(None)


def place() -> tuple[int, int]:
    """The rank of this process and the number of ranks."""
    if not several():
        return 0, 1
    return dist.get_rank(), dist.get_world_size()


def together(work: Callable[[], T], *, here: bool = True) -> T | None:
    """Does ``work`` and waits for the others; all ranks take part.

    Args:
        here: whether this rank has something to do.

    Returns:
        What the work gives; None where there was none.

    Raises:
        UserError: on every rank, what went wrong on the first rank that failed.
        Stopped: likewise.
    """
    result: T | None = None
    error: UserError | Stopped | None = None
    try:
        result = work() if here else None
    except (UserError, Stopped) as failed:
        error = failed
    failed_first = next((e for e in gathered(error) if e is not None), None)
    if failed_first is not None:
        failed_first.together = True
        raise failed_first from error
    return result
