"""One server of several engines: a process computes for its share of the sessions.

::

                                  ┌─ sockets ─▶ process 0: a server with an engine
    clients ─▶ listener ─▶ accept ┤
                                  └─ sockets ─▶ process 1: another

This process only accepts: a connection goes to whichever has the most places left, so the limit on
sessions is exact. Metrics are counted together. A signal ends all of them, each legally; where one
fails, the others end as at a signal.
"""

from __future__ import annotations

import logging
import multiprocessing
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from inference.serve.intake import Intake, Load
from inference.serve.metrics import counted_together
from inference.serve.recipe import ServeRecipe
from inference.serve.server import DRAIN_S
from soundflow.config.settings import Precision
from soundflow.errors import EXIT_SIGNALLED, EXIT_USER, Stopped, UserError
from soundflow.logs import configure

log = logging.getLogger(__name__)

ENDING_S = DRAIN_S + 5.0  # that a process may take to end
# What one process does: serves what comes in, after it has said in which precision it computes.
ServePart = Callable[[ServeRecipe, Intake, Callable[[str], None]], None]


@dataclass
class _Part:
    """A process with its share of the sessions, as this one sees it."""

    process: BaseProcess
    channel: socket.socket
    reports: Connection
    places: int
    handed: int = 0
    load: Load = field(default=Load(0, 0))

    @property
    def free(self) -> int:
        """Places that are left; a connection counts as a session until it is known to be none."""
        return self.places - self.load.sessions - (self.handed - self.load.taken)


@contextmanager
def serving_parts(recipe: ServeRecipe, serve_part: ServePart) -> Iterator[list[_Part]]:
    """As many processes as the recipe has engines, ready to serve; ended with the block.

    The first is awaited before the others are started: what is wrong with a checkpoint is said
    once, and a precision that is measured is the same for all.

    Args:
        serve_part: can be imported by a new process.

    Raises:
        UserError: as the first of them raises it.
    """
    parts: list[_Part] = []
    with ExitStack() as stack:
        stack.enter_context(counted_together())
        stack.callback(_end, parts)
        precision: Precision = recipe.precision
        for at in range(recipe.engines):
            parts.append(_start(_part_of(recipe, at, precision), serve_part, quiet=at > 0))
            if at == 0:
                precision = _ready(parts[0])
        for part in parts[1:]:
            _ready(part)
        yield parts


def hand_out(listener: socket.socket, parts: Sequence[_Part]) -> None:
    """Passes every connection on to the process with the most places left, until one of them ends.

    Raises:
        UserError: when that happens.
    """
    listener.setblocking(False)
    with selectors.DefaultSelector() as selector:
        selector.register(listener, selectors.EVENT_READ)
        for part in parts:
            selector.register(part.reports, selectors.EVENT_READ, part)
        while True:
            ready = selector.select()
            for part in (key.data for key, _ in ready if key.data is not None):
                _listen_to(part)
            if any(key.data is None for key, _ in ready):
                _hand_on(listener, parts)


def _hand_on(listener: socket.socket, parts: Sequence[_Part]) -> None:
    try:
        connection, _ = listener.accept()
    except OSError:  # gone again
        return
    with connection:
        part = max(parts, key=lambda one: one.free)
        try:
            socket.send_fds(part.channel, [b"."], [connection.fileno()])
        except OSError as error:  # it ended, or takes nothing in
            log.warning("a connection could not be handed on (%s)", error.strerror)
        else:
            part.handed += 1


def _listen_to(part: _Part) -> None:
    part.load = _said(
        part,
        "an engine ended",
        "the lines above say why; if there are none, the machine's memory may be too small for so "
        "many engines",
    )


def _said(part: _Part, ended: str, remedy: str) -> Any:
    """What a process reports; its error is raised, and that it has ended is one."""
    try:
        said = part.reports.recv()
    except EOFError:
        part.process.join()
        raise UserError(f"{ended} ({_how(part.process)})", remedy) from None
    if isinstance(said, UserError):
        raise said
    return said


def _how(process: BaseProcess) -> str:
    code = process.exitcode or 0
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def _part_of(recipe: ServeRecipe, at: int, precision: Precision) -> ServeRecipe:
    """What one process serves."""
    most, engines = recipe.limits.sessions, recipe.engines
    places = most // engines + (at < most % engines)
    device = f"cuda:{at}" if recipe.device == "cuda" else recipe.device
    limits = replace(recipe.limits, sessions=places)
    return replace(recipe, engines=1, limits=limits, device=device, precision=precision)


def _start(recipe: ServeRecipe, serve_part: ServePart, *, quiet: bool) -> _Part:
    context = multiprocessing.get_context("spawn")
    ours, theirs = socket.socketpair()
    reports, reporting = context.Pipe(duplex=False)
    process = context.Process(
        target=_run, args=(recipe, serve_part, theirs, reporting, quiet), daemon=True
    )
    # A terminal sends these to every process; it is the first one that ends the others. A mask is
    # inherited, and loses nothing that comes meanwhile.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGHUP))
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    theirs.close()
    reporting.close()
    ours.setblocking(False)
    return _Part(process, ours, reports, recipe.limits.sessions)


def _end(parts: Sequence[_Part]) -> None:
    """Ends the processes legally, or after a while in any case."""
    for part in parts:
        part.process.terminate()
    until = time.monotonic() + ENDING_S
    for part in parts:
        part.process.join(max(0.0, until - time.monotonic()))
        part.process.kill()
        part.process.join()
        part.channel.close()
        part.reports.close()


def _ready(part: _Part) -> Precision:
    """Waits until a process serves, and returns the precision that it computes in."""
    precision: Precision = _said(
        part,
        "an engine ended before it was ready",
        "try engines=1; if that works, the machine's memory is too small for so many",
    )
    return precision


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
        serve_part(recipe, Intake(channel, reports), reports.send)
    except UserError as error:
        reports.send(error)
        sys.exit(EXIT_USER)
    except Stopped as stop:
        sys.exit(EXIT_SIGNALLED + stop.number)
