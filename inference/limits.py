"""What an engine takes on, and the errors that say where it ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import torch
from pydantic import PositiveInt
from pydantic.dataclasses import dataclass

from inference.events import FailReason, SessionFailed
from soundflow.config.settings import SETTINGS, PositiveSeconds
from soundflow.errors import UserError

In = TypeVar("In")
Out = TypeVar("Out")


@dataclass(frozen=True, config=SETTINGS)
class Limits:
    """What an executor takes on.

    Attributes:
        max_sessions: rows of the pool of keys and values.
        encode_chunks: chunks of one encoder batch.
        listen_chunks: listen blocks of one forward pass.
        overload_s: how late decisions may be before a session is told.
    """

    max_sessions: PositiveInt = 16
    encode_chunks: PositiveInt = 64
    listen_chunks: PositiveInt = 64
    overload_s: PositiveSeconds = 2.0


class OverloadedError(UserError):
    """The engine takes no more: sessions, or audio of one of them."""


class OutOfMemoryError(OverloadedError):
    """The memory of the machine was not enough."""

    def __init__(self, purpose: str) -> None:
        super().__init__(
            f"there is not enough memory {purpose}", "close sessions, or serve fewer of them"
        )

    def __reduce__(self) -> tuple[type[UserError], tuple[str, str]]:
        return OverloadedError, (self.message, self.hint)


def is_out_of_memory(error: BaseException) -> bool:
    # PyTorch's allocator of the CPU raises a plain RuntimeError.
    kinds = (MemoryError, torch.OutOfMemoryError, OutOfMemoryError)
    return isinstance(error, kinds) or "allocate memory" in str(error)


@contextmanager
def memory_needed(purpose: str) -> Iterator[None]:
    """Turns running out of memory inside the block into a refusal (`OutOfMemoryError`)."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise OutOfMemoryError(purpose) from error


def in_batches_that_fit(
    compute: Callable[[Sequence[In]], Sequence[Out]], items: Sequence[In]
) -> list[Out | None]:
    """What ``compute`` gives for each item: for all at once, or in halves, and halves of these,
    where the memory of the machine is not enough for that.

    Args:
        compute: changes nothing where it runs out of memory.

    Returns:
        In the order of ``items``; None for one that does not fit alone.
    """
    try:
        return list(compute(items))
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
    # Behind the handler: the error held on to the tensors of the pass that failed.
    if len(items) == 1:
        return [None]
    half = len(items) // 2
    return [
        *in_batches_that_fit(compute, items[:half]),
        *in_batches_that_fit(compute, items[half:]),
    ]


class TimedOutError(UserError):
    """A stream took more computation than it may."""

    def __init__(self, timeout_s: float) -> None:
        super().__init__(
            f"more than {timeout_s:g} s of computation", "raise timeout_s, or shorten the stream"
        )

    def __reduce__(self) -> tuple[type[UserError], tuple[str, str]]:
        return UserError, (self.message, self.hint)


class NonFiniteLogitsError(UserError):
    """The model computed NaN or infinity: no decision is possible."""

    def __init__(self, chunk: int) -> None:
        super().__init__(
            f"the model computed NaN or infinity at chunk {chunk}",
            "try precision=fp32; if it stays, the weights are damaged",
        )

    def __reduce__(self) -> tuple[type[UserError], tuple[str, str]]:
        return UserError, (self.message, self.hint)


def reason_of(error: UserError) -> FailReason:
    """Why a session failed, for its event."""
    if isinstance(error, NonFiniteLogitsError):
        return "not_finite"
    return "out_of_memory" if isinstance(error, OutOfMemoryError) else "caller"


def error_of(failed: SessionFailed) -> UserError:
    """The error that a session failed with, from its event."""
    match failed.reason:
        case "not_finite":
            return NonFiniteLogitsError(failed.chunk)
        case "out_of_memory":
            return OutOfMemoryError("to go on with the session")
        case "caller":
            return UserError(failed.error, failed.remedy)
