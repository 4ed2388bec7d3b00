"""Events and replies of a stream: the ground truth that builder, trainer and evaluation share.

::

    audio     ~~~~~~[ event ]~~~~~~~~~~~~~[ event ]~~~~
                    on   end              (no reply expected)
    chunks    |--0--|--1--|--2--|--3--|--4--|--5--|--6--|
    replies               ^ Reply(chunk=1)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from soundflow.protocol.tokens import EMOTIONS

# Where a time comes from: stated by who made or annotated the audio; found in its samples; or
# taken from what is usual.
Basis = Literal["known", "measured", "assumed"]


@dataclass(frozen=True)
class Reply:
    """One turn of the assistant: what is said after which chunk (0-based)."""

    chunk: int
    text: str
    emotion: str = "normal"

    def __post_init__(self) -> None:
        if self.chunk < 0:
            raise ValueError(f"reply chunk must not be negative, got {self.chunk}")
        if self.emotion not in EMOTIONS:
            raise ValueError(f"emotion must be one of {EMOTIONS}, got {self.emotion!r}")


@dataclass(frozen=True)
class Event:
    """Something that happens in the stream, in samples from its start (timing protocol 1.1).

    ``ready_samples`` is the first moment at which a careful listener could know that a reply is
    due; it is in ``(on_samples, end_samples]``. ``answers`` holds every reply that counts as right
    and is empty for an event that deserves none. ``basis`` says where ``ready_samples`` comes from.
    """

    kind: str
    on_samples: int
    ready_samples: int
    end_samples: int
    must_respond: bool = False
    answers: tuple[str, ...] = ()
    basis: Basis = "measured"

    def __post_init__(self) -> None:
        if not 0 <= self.on_samples < self.ready_samples <= self.end_samples:
            raise ValueError(f"an event needs on < ready <= end, got {self}")
        if self.must_respond != bool(self.answers):
            raise ValueError(f"an event has answers exactly when it must be answered, got {self}")
