"""What an engine takes on, and the errors that say where it ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeAlias, TypeVar

import torch
from pydantic import PositiveInt
from pydantic.dataclasses import dataclass

from inference.events import FailReason, SessionFailed
from soundflow.config.settings import SETTINGS, PositiveSeconds
from soundflow.errors import UserError

In = TypeVar("In")
Out = TypeVar("Out")

Compute: TypeAlias = Callable[[Sequence[In]], Sequence[Out]]

PATIENCE = 64


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


class BatchesThatFit:
    """Computes many items at once, and fewer where the memory of the machine is not enough.

    The most that fitted are kept for the batches that follow, which would fail first otherwise. The
    number doubles after every ``PATIENCE`` batches: what took the memory may be gone, and if it is
    not, little is lost.
    """

    def __init__(self) -> None:
        self._most: int | None = None  # None: all
        self._patience = 0

    def __call__(self, compute: Compute[In, Out], items: Sequence[In]) -> list[Out | None]:
        """What ``compute`` gives for each item.

        Args:
            compute: changes nothing where it runs out of memory.

        Returns:
            In the order of ``items``; None for one that does not fit alone.
        """
        if self._most is not None and not self._patience:
            self._most, self._patience = 2 * self._most, PATIENCE
        self._patience -= self._most is not None
        at_most = at_once = self._most or len(items)
        found: list[Out | None] = []
        fitted, failed = 0, False
        while len(found) < len(items):
            batch = items[len(found) : len(found) + at_once]
            computed = _if_it_fits(compute, batch)
            if computed is not None:
                found += computed
                fitted = max(fitted, len(batch))
                continue
            failed = True
            if len(batch) > 1:
                at_once = len(batch) // 2
            else:
                found.append(None)  # it alone may have been too large
                at_once = at_most
        if failed and fitted:
            self._most, self._patience = fitted, PATIENCE
        return found


def _if_it_fits(compute: Compute[In, Out], items: Sequence[In]) -> Sequence[Out] | None:
    # The error ends with this function: it holds on to the tensors of the pass that failed.
    try:
        return compute(items)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
    return None


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
