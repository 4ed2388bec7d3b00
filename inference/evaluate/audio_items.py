"""Items whose audio is a file, or the bytes of one, as published data sets hold them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from inference.evaluate.task import Exchange, Item, ReferenceT
from inference.sources.recordings import Recording
from soundflow.audio.files import duration_s, read_audio
from soundflow.errors import UserError
from soundflow.protocol.timebase import to_samples

# The path of a file or the bytes of one, read from a data set when asked for.
AudioSource = Callable[[], Path | bytes]


def audio_item(
    name: str,
    source: AudioSource,
    reference: ReferenceT,
    *,
    pause_s: float,
    system: str | None = None,
    exchange: Exchange | None = None,
) -> Item[ReferenceT]:
    """One recording, followed by ``pause_s`` of silence in which it can be answered.

    Args:
        system: the instruction in text; None takes the system's own.
        exchange: what is asked in an offline exchange.
    """
    open_it = partial(_open, name, source, pause_s, system)
    n_samples = length_samples(source()) + to_samples(pause_s)
    return Item(name, n_samples, open_it, reference, system, exchange)


def length_samples(source: Path | bytes) -> int:
    """Its length at the rate of a stream; 0 if it cannot be read, which its turn will show."""
    try:
        return to_samples(duration_s(source))
    except UserError:
        return 0


def _open(name: str, source: AudioSource, pause_s: float, system: str | None) -> Recording:
    samples = read_audio(source(), name=name)
    return Recording(name, iter([samples]), system, pause_s=pause_s)
