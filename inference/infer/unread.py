"""Recordings among several that could not be read, or not to their end."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from inference.packets import Float32
from inference.sources.recordings import Recording
from soundflow.errors import UserError
from soundflow.protocol.timebase import TimeBase

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Unread:
    """A recording that was not read to its end.

    Attributes:
        heard_s: how much of it was read.
    """

    name: str
    error: UserError
    heard_s: float = 0.0

    @property
    def reason(self) -> str:
        """One line."""
        heard = f"; {self.heard_s:.1f} s of it were heard" if self.heard_s else ""
        return f"{self.error.message}{heard}"

    def to_json(self) -> dict[str, object]:
        return {
            "event": "recording_failed",
            "name": self.name,
            "heard_s": self.heard_s,
            "error": self.error.message,
            "remedy": self.error.hint,
        }


def as_far_as_read(
    recordings: Iterable[Recording], unread: list[Unread], time: TimeBase
) -> Iterator[Recording]:
    """The recordings; one that cannot be read on ends there, and is added to ``unread``."""
    for recording in recordings:
        yield replace(recording, blocks=_blocks(recording, unread, time))


def _blocks(recording: Recording, unread: list[Unread], time: TimeBase) -> Iterator[Float32]:
    heard = 0
    try:
        for block in recording.blocks:
            yield block
            heard += len(block)
    except UserError as error:
        unread.append(Unread(recording.name, error, time.seconds(heard)))


def require_all_read(unread: Sequence[Unread], of: int) -> None:
    """Says which of ``of`` recordings were not read.

    Raises:
        UserError: if any.
    """
    for one in unread:
        log.warning("%s", one.reason)
    if unread:
        raise UserError(
            f"{len(unread)} of {of} recordings could not be read to their end",
            "the lines above say why; the others were heard",
        )
