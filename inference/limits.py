"""What an engine takes on, and the errors that say where it ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from pydantic import PositiveInt
from pydantic.dataclasses import dataclass

from soundflow.config.settings import SETTINGS, PositiveSeconds
from soundflow.errors import UserError


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


def is_out_of_memory(error: BaseException) -> bool:
    # PyTorch's allocator of the CPU raises a plain RuntimeError.
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "allocate memory" in str(
        error
    )


@contextmanager
def memory_needed(purpose: str) -> Iterator[None]:
    """Turns running out of memory inside the block into a refusal (`OverloadedError`)."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise OverloadedError(
            f"there is not enough memory {purpose}", "close sessions, or serve fewer of them"
        ) from error


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
