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
from itertools import chain

import numpy as np
import numpy.typing as npt

from inference.engine import Engine
from inference.events import SessionEvent, SessionFailed
from inference.profiles import Profile
from inference.sessions.live_session import Session
from inference.sessions.lockstep import Lockstep
from inference.sources.recordings import Recording
from soundflow.errors import UserError
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
    """The samples of a recording, ended at a chunk boundary, and the silence after it; nothing for
    one that holds none.

    Raises:
        UserError: where the recording cannot be read on.
    """
    first = next(recording.blocks, None)
    if first is None:
        return
    blocks: Iterator[Float32] = chain((first,), recording.blocks)
    if profile.maximum == "clip":  # known when all of the recording is: it becomes one block
        blocks = iter((np.concatenate(list(blocks)),))
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
    stopped: Callable[[], bool] = lambda: False,
) -> Iterator[SessionOutput]:
    """Recordings one after another into ``session``, which is closed at the end.

    Args:
        recordings: each is opened when its turn comes.
        stopped: asked before every packet; the session ends when it says so.

    Yields:
        Every packet with its events; last, the end of the session.

    Raises:
        UserError: where a recording cannot be read on.
    """
    received = 0
    for recording, begins, packet in _all_packets(recordings, engine, stopped):
        first = recording if begins else None
        yield SessionOutput(first, received, packet, tuple(session.push(packet)))
        received += len(packet)
    yield SessionOutput(None, received, np.zeros(0, np.float32), tuple(session.close()))


def feed_live(
    engine: Engine,
    session: Session,
    recordings: Iterable[Recording],
    *,
    stopped: Callable[[], bool] = lambda: False,
    clock: Callable[[], float] = time.perf_counter,
) -> Iterator[SessionOutput]:
    """As `feed`, at the speed of the clock: a worker computes while audio goes on arriving.

    Args:
        clock: monotonic seconds.

    Yields:
        Packets as they are pushed and events as they come; last, the end of the session.

    Raises:
        UserError: where a recording cannot be read on, or the session fails.
    """
    received, began = 0, clock()
    for recording, begins, packet in _all_packets(recordings, engine, stopped):
        wait_s = engine.spec.time.seconds(received + len(packet)) - (clock() - began)
        yield from _events(session, received, 0.0 if recording.live else wait_s, clock)
        if stopped():
            break
        session.push(packet)
        yield SessionOutput(recording if begins else None, received, packet, ())
        received += len(packet)
    if stopped():
        session.interrupt()
    session.close()
    yield from _events(session, received, None, clock)


def _events(
    session: Session, received: int, wait_s: float | None, clock: Callable[[], float]
) -> Iterator[SessionOutput]:
    """What comes within ``wait_s``; all to the end of the session where it is None."""
    until = clock() + (wait_s or 0.0)
    while True:
        left_s = None if wait_s is None else max(0.0, until - clock())
        event = next(session.events(left_s), None)
        if event is None:
            return
        yield SessionOutput(None, received, np.zeros(0, np.float32), (event,))
        if isinstance(event, SessionFailed):
            raise UserError(event.error, event.remedy)


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
