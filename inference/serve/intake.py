"""The connections of one process of a server, accepted by another one (`inference.serve.engines`).

::

    listener ─accept─▶ the server's process ─ socket ─▶ Intake ─▶ uvicorn
                               ◀─ Ready, then Load: sessions, connections taken ─
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection

from soundflow.config.settings import Precision

# That a connection may take, ten a second, until it is known to be a session: on a busy machine a
# handshake waits for the model.
UNKNOWN_TICKS = 10


@dataclass(frozen=True)
class Ready:
    """A process serves, and computes in ``precision``."""

    precision: Precision


@dataclass(frozen=True)
class Load:
    """What a process has.

    Attributes:
        sessions: that are open.
        taken: connections so far of which it knows by now whether they are sessions.
    """

    sessions: int
    taken: int


class Intake:
    """Takes connections from one process into another.

    Args:
        channel: a stream of sockets from the process that accepts.
        reports: to that process.
    """

    def __init__(self, channel: socket.socket, reports: Connection) -> None:
        self._channel = channel
        self._reports = reports
        self._taken = 0
        self._taken_before = deque([0] * UNKNOWN_TICKS, UNKNOWN_TICKS)
        self._told = Load(0, 0)
        self._connecting: set[asyncio.Future[None]] = set()

    def begin(
        self, connect: Callable[[socket.socket], Awaitable[None]], end: Callable[[], None]
    ) -> None:
        """From now on each connection is passed to ``connect``; ``end`` is called when the other
        process is gone. Belongs to the running loop.
        """
        loop = asyncio.get_running_loop()
        self._channel.setblocking(False)

        def take() -> None:
            data, files, _, _ = socket.recv_fds(self._channel, 1, 1)
            if not data:
                loop.remove_reader(self._channel)
                end()
            for file in files:
                self._taken += 1
                connection = socket.socket(fileno=file)
                connection.setblocking(False)
                task = asyncio.ensure_future(connect(connection))
                self._connecting.add(task)
                task.add_done_callback(self._connecting.discard)

        loop.add_reader(self._channel, take)

    def ready(self, precision: Precision) -> None:
        """Reports that what comes will be served."""
        self._reports.send(Ready(precision))

    def tell(self, sessions: int) -> None:
        """Reports how many sessions there are, ten times a second, and that the connections of a
        second ago are among them or are none.
        """
        load = Load(sessions, self._taken_before[0])
        self._taken_before.append(self._taken)
        if load != self._told:
            self._told = load
            with contextlib.suppress(OSError):  # the other process is gone: the end is near
                self._reports.send(load)
