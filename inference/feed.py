"""Feeds recordings into a session: files, streams of built data, pipes and arrays.

::

    a.wav ▓▓▓▓▓▓▓▓▓░ 1 s ░░░  b.wav ▓▓▓▓▓▓▓░ 1 s ░░░    one session, one count of chunks
          └ whole chunks ┘          └ whole chunks ┘

`packets` turns a recording into packets for a session under a profile. The command line, the Python
API, evaluation and the validation of training all use it, so a recording gives the same stream in
all of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from inference.engine import Engine
from inference.events import SessionEvent
from inference.profiles import Profile
from inference.recordings import Recording
from inference.session import Session
from soundflow.protocol.timebase import TimeBase

Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class SessionOutput:
    """The events that one packet caused.

    Attributes:
        begins: the recording whose first packet it is; None within one.
        at_samples: where in the session the packet begins.
    """

    begins: Recording | None
    at_samples: int
    events: tuple[SessionEvent, ...]


def packets(recording: Recording, profile: Profile, base: TimeBase) -> Iterator[Float32]:
    """The samples of a recording, ended at a chunk boundary, and the silence after it.

    Raises:
        UserError: where the recording cannot be read on.
    """
    blocks = recording.blocks
    if profile.maximum == "clip":  # known when all of the recording is: it becomes one block
        blocks = iter([np.concatenate([np.zeros(0, np.float32), *blocks])])
    if profile.trailing == "drop":
        yield from _complete_chunks(blocks, base)
    elif profile.maximum == "clip":
        yield from (np.pad(block, (0, base.padding_of(len(block)))) for block in blocks)
    else:
        yield from _padded(blocks, base)
    silence_s = 0.0 if recording.ends_in_silence else profile.silence_s
    n_silence = base.chunks_in(base.samples(silence_s)) * base.chunk_samples
    if n_silence:
        yield np.zeros(n_silence, np.float32)


def _padded(blocks: Iterator[Float32], base: TimeBase) -> Iterator[Float32]:
    """Every block, then zeros to the next chunk boundary."""
    received = 0
    for block in blocks:
        received += len(block)
        yield block
    if padding := base.padding_of(received):
        yield np.zeros(padding, np.float32)


def _complete_chunks(blocks: Iterator[Float32], base: TimeBase) -> Iterator[Float32]:
    """Whole chunks as they become complete; what remains at the end is dropped."""
    held = np.zeros(0, np.float32)
    for block in blocks:
        held = np.concatenate((held, block))
        n_whole = len(held) // base.chunk_samples * base.chunk_samples
        if n_whole:
            yield held[:n_whole]
        held = held[n_whole:]


def feed(
    engine: Engine,
    session: Session,
    recordings: Sequence[Recording],
    *,
    real_time: bool = False,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.perf_counter,
) -> Iterator[SessionOutput]:
    """Recordings one after another into ``session``, which is closed at the end.

    Args:
        real_time: waits until each packet would have arrived from a microphone.
        sleep, clock: how it waits, and monotonic seconds.

    Yields:
        The events of each packet; last, the end of the session.

    Raises:
        UserError: where a recording cannot be read on.
    """
    received, began = 0, clock()
    for recording in recordings:
        begins: Recording | None = recording
        for packet in packets(recording, engine.profile, engine.spec.time):
            if real_time:
                due_s = engine.spec.time.seconds(received + len(packet))
                sleep(max(0.0, began + due_s - clock()))
            yield SessionOutput(begins, received, tuple(session.push(packet)))
            received += len(packet)
            begins = None
    yield SessionOutput(None, received, tuple(session.close()))
