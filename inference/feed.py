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
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from inference.engine import Engine
from inference.events import SessionEvent
from inference.lockstep import Lockstep
from inference.profiles import Profile
from inference.sources.recordings import Recording
from soundflow.protocol.timebase import TimeBase

Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class SessionOutput:
    """A packet that the session was given, and events that became known with it.

    Attributes:
        begins: the recording whose first packet it is; None within one.
        at_samples: where in the session the packet begins.
        packet: (n,) samples; none where there are only events.
    """

    begins: Recording | None
    at_samples: int
    packet: Float32
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
    pause_s = profile.silence_s if recording.pause_s is None else recording.pause_s
    for _ in range(base.chunks_in(base.samples(pause_s))):
        yield np.zeros(base.chunk_samples, np.float32)


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
    session: Lockstep,
    recordings: Iterable[Recording],
    *,
    real_time: bool = False,
    stopped: Callable[[], bool] = lambda: False,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.perf_counter,
) -> Iterator[SessionOutput]:
    """Recordings one after another into ``session``, which is closed at the end.

    Args:
        recordings: each is opened when its turn comes.
        real_time: waits until each packet would have arrived from a microphone.
        stopped: asked before every packet; the session ends when it says so.
        sleep, clock: how it waits, and monotonic seconds.

    Yields:
        Every packet with its events; last, the end of the session.

    Raises:
        UserError: where a recording cannot be read on.
    """
    received, began = 0, clock()
    for recording, begins, packet in _all_packets(recordings, engine, stopped):
        if real_time and not recording.live:
            due_s = engine.spec.time.seconds(received + len(packet))
            sleep(max(0.0, began + due_s - clock()))
        first = recording if begins else None
        yield SessionOutput(first, received, packet, tuple(session.push(packet)))
        received += len(packet)
    yield SessionOutput(None, received, np.zeros(0, np.float32), tuple(session.close()))


def _all_packets(
    recordings: Iterable[Recording], engine: Engine, stopped: Callable[[], bool]
) -> Iterator[tuple[Recording, bool, Float32]]:
    """Every packet of every recording, with whether it is the recording's first."""
    for recording in recordings:
        begins = True
        for packet in packets(recording, engine.profile, engine.spec.time):
            if stopped():
                return
            yield recording, begins, packet
            begins = False
