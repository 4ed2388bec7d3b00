"""The connections of one process of a server, accepted by another one (`inference.serve.engines`).

::

    listener ─accept─▶ the server's process ─ socket ─▶ Intake ─▶ uvicorn
                               ◀─ Ready, then Load: sessions, connections taken ─
                               ◀─ Opened (with the socket) and Closed, of each session ─

So the process that accepts can tell the clients of this one, should it be killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from itertools import count
from multiprocessing.connection import Connection
from multiprocessing.reduction import send_handle

from soundflow.config.settings import Precision

# That a connection without a request counts as a session to come, ten a second: on a busy machine a
# handshake waits for the model.
SILENT_TICKS = 10


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


@dataclass(frozen=True)
class Opened:
    """A session has begun; its socket follows.

    Attributes:
        number: no other session of the process has it.
        if_killed: what its client is sent if the process ends before the session.
    """

    number: int
    if_killed: bytes


@dataclass(frozen=True)
class Closed:
    """A session has ended, or its process itself tells the client why it does."""

    number: int


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
        self._silent: dict[tuple[str, int], int] = {}  # peers without a request -> ticks left
        self._told = Load(0, 0)
        self._connecting: set[asyncio.Future[None]] = set()
        self._numbers = count()

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
            self._taken += len(data)  # also where there was no descriptor left for one
            for file in files:
                connection = socket.socket(fileno=file)
                connection.setblocking(False)
                with contextlib.suppress(OSError):  # it is gone again
                    self._silent[connection.getpeername()[:2]] = SILENT_TICKS
                task = asyncio.ensure_future(connect(connection))
                self._connecting.add(task)
                task.add_done_callback(self._connecting.discard)

        loop.add_reader(self._channel, take)

    def ready(self, precision: Precision) -> None:
        """Reports that what comes will be served."""
        self._reports.send(Ready(precision))

    def requested(self, peer: tuple[str, int]) -> None:
        """A connection has made a request: by the next `tell` it is a session, or is none."""
        self._silent.pop(peer, None)

    @contextlib.contextmanager
    def holding(self, connection: socket.socket, if_killed: bytes) -> Iterator[None]:
        """Has the other process tell a client ``if_killed``, should this one end in the block."""
        if connection.fileno() == -1:  # the client is gone already
            yield
            return
        number = next(self._numbers)
        with contextlib.suppress(OSError):  # the other process is gone: the end is near
            self._reports.send(Opened(number, if_killed))
            send_handle(self._reports, connection.fileno(), 0)
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                self._reports.send(Closed(number))

    def tell(self, sessions: int) -> None:
        """Reports, ten times a second, how many sessions there are and how many connections are
        among them or are none.
        """
        load = Load(sessions, self._taken - len(self._silent))
        self._silent = {peer: left - 1 for peer, left in self._silent.items() if left > 1}
        if load != self._told:
            self._told = load
            with contextlib.suppress(OSError):  # the other process is gone: the end is near
                self._reports.send(load)
