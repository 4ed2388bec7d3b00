"""A process that computes for its share of a server's sessions, as the one that accepts sees it.

::

    this process ── sockets ────▶ an engine with a server of its own
                 ◀─ reports: Ready, then Load; UserError instead, where it cannot serve

A socket outlives a process that is killed, since this process holds it too: so the clients can
still be told.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import signal
import socket
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle

from inference.serve.held_sessions import HeldSession, tell_killed
from inference.serve.intake import Closed, Intake, Load, Opened, Ready
from inference.serve.recipe import ServeRecipe
from inference.serve.server import DRAIN_S
from soundflow.errors import EXIT_SIGNALLED, EXIT_USER, Stopped, UserError
from soundflow.logs import configure

ENDING_S = DRAIN_S + 5.0  # that a process may take to end
# What the process does: serves what comes in, after it has said that it is ready.
ServePart = Callable[[ServeRecipe, Intake], None]


class EngineEnded(Exception):
    """A process is no more. ``str()``: how it ended."""


class EngineProcess:
    """Starts a process.

    Args:
        recipe: what it serves, with its share of the sessions.
        serve_part: can be imported by a new process.
        quiet: says warnings only.

    Attributes:
        ready: None until it serves.
        reports: readable when there is something to `listen` to.
    """

    def __init__(self, recipe: ServeRecipe, serve_part: ServePart, *, quiet: bool) -> None:
        context = multiprocessing.get_context("spawn")
        self._channel, theirs = socket.socketpair()
        self.reports, reporting = context.Pipe()  # a socket: descriptors pass too
        self._process = context.Process(
            target=_run, args=(recipe, serve_part, theirs, reporting, quiet), daemon=True
        )
        # A terminal sends these to every process; it is the first one that ends the others. A mask
        # is inherited, and loses nothing that comes meanwhile.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGHUP))
        try:
            self._process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()
        reporting.close()
        self._channel.setblocking(False)
        self._places = recipe.limits.sessions
        self._handed = 0
        self._load = Load(0, 0)
        self._open: dict[int, HeldSession] = {}
        self.ready: Ready | None = None

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def sessions(self) -> int:
        """How many it has, by its last report."""
        return self._load.sessions

    @property
    def free(self) -> int:
        """Places that are left; a connection counts as a session until it is known to be none."""
        return self._places - self._load.sessions - (self._handed - self._load.taken)

    def listen(self) -> None:
        """Takes a report, and waits for it.

        Raises:
            UserError: why it cannot serve.
            EngineEnded: if it is gone.
        """
        try:
            said = self.reports.recv()
        except (EOFError, OSError):
            self._process.join()
            code = self._process.exitcode or 0
            name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
            raise EngineEnded(name) from None
        match said:
            case Ready():
                self.ready = said
            case Load():
                self._load = said
            case Opened(number, if_killed):
                # There may be no descriptor left here, or no process any more there.
                with contextlib.suppress(RuntimeError, EOFError, OSError):
                    connection = socket.socket(fileno=recv_handle(self.reports))
                    self._open[number] = HeldSession(connection, if_killed)
            case Closed(number):
                if number in self._open:
                    self._open.pop(number).connection.close()
            case UserError():
                raise said

    def hand(self, connection: socket.socket) -> bool:
        """Passes a connection on, and says whether the process can still take one."""
        try:
            socket.send_fds(self._channel, [b"."], [connection.fileno()])
        except OSError:
            return False
        self._handed += 1
        return True

    def stop(self) -> None:
        """Has it end legally; `end` waits for that."""
        self._process.terminate()

    def end(self, within_s: float = 0.0) -> None:
        """Ends it in any case after ``within_s``, and tells the clients that it no longer can."""
        until_s = time.monotonic() + within_s
        with contextlib.suppress(EngineEnded, UserError):
            # It waits for whoever does not take its reports.
            while self.reports.poll(max(0.0, until_s - time.monotonic())):
                self.listen()
        self._process.kill()
        self._process.join()
        self._channel.close()
        self.reports.close()
        tell_killed(list(self._open.values()))


def _run(
    recipe: ServeRecipe,
    serve_part: ServePart,
    channel: socket.socket,
    reports: Connection,
    quiet: bool,
) -> None:
    """A process from its beginning to its end."""
    configure()
    if quiet:  # the first has said it
        for package in ("soundflow", "inference"):
            logging.getLogger(package).setLevel(logging.WARNING)
    try:
        serve_part(recipe, Intake(channel, reports))
    except UserError as error:
        reports.send(error)
        sys.exit(EXIT_USER)
    except Stopped as stop:
        sys.exit(EXIT_SIGNALLED + stop.number)
