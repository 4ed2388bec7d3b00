"""What a protocol is to a connection: messages in, actions and messages out, without any I/O.

::

    client message ─▶ Dialect.received ─▶ Reaction(actions for the session, messages for the client)
    session event  ─▶ Dialect.told ─────▶ messages for the client
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from inference.events import SessionEvent
from inference.serve.faults import Fault
from inference.sessions.config import Respond, SessionConfig

Message = dict[str, Any]


@dataclass(frozen=True)
class Push:
    """Audio for the session.

    Attributes:
        samples: (n,) float32 at the rate of the stream.
        seconds: how much audio arrived; the resampler may hold some of it back.
    """

    samples: npt.NDArray[np.float32]
    seconds: float


@dataclass(frozen=True)
class Interrupt:
    """Ends the reply in progress; its memory keeps the first ``heard_tokens`` (None: all)."""

    heard_tokens: int | None = None


@dataclass(frozen=True)
class Configure:
    """Goes on with another instruction, threshold or length of replies; what was heard stays."""

    config: SessionConfig


@dataclass(frozen=True)
class Finish:
    """The audio is over; the session ends when all of it is answered."""


Action = Push | Interrupt | Respond | Configure | Finish


@dataclass(frozen=True)
class Reaction:
    """What follows from a client's message: first the actions, then the messages."""

    actions: Sequence[Action] = ()
    messages: Sequence[Message] = field(default=())


class Dialect(Protocol):
    def opened(self) -> Sequence[Message]:
        """What a client is told first."""

    def received(self, message: str | bytes) -> Reaction:
        """Takes a message of the client. Raises `Fault` if it cannot be followed."""

    def told(self, event: SessionEvent, remembered_s: float) -> Sequence[Message]:
        """An event of the session in the words of the protocol; how much the memory holds."""

    def fault(self, fault: Fault) -> Message:
        """A fault in the words of the protocol."""
