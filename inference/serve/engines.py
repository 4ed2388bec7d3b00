"""One server of several engines: a process computes for its share of the sessions.

::

                                  ┌─ sockets ─▶ process 0: a server with an engine
    clients ─▶ listener ─▶ accept ┤
                                  └─ sockets ─▶ process 1: another

This process only accepts: a connection goes to whichever has the most places left, so the limit on
sessions is exact. Metrics are counted together. A signal ends all of them, each legally. One that
ends by itself takes its own sessions with it, and is started again.
"""

from __future__ import annotations

import errno
import logging
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait

from inference.serve.engine_process import ENDING_S, EngineEnded, EngineProcess, ServePart
from inference.serve.intake import Ready
from inference.serve.metrics import counted_together, forget_process
from inference.serve.recipe import ServeRecipe
from soundflow.errors import UserError

log = logging.getLogger(__name__)

RETRIES = 5  # of an engine that ends again and again; then the server ends too
RETRY_S = 0.5  # before the first; each later one waits twice as long
FULL_S = 1.0  # until a connection is tried again for which there was no descriptor
STEADY_S = 60.0  # whoever has served so long may end as often anew


@dataclass
class Share:
    """A share of the sessions, and the process that serves it.

    Attributes:
        recipe: as for a server of one engine.
        process: None until it is started again, at ``due_s``.
        retries: so many since it last served for long.
        since_s: when the process began to serve.
    """

    recipe: ServeRecipe
    serve_part: ServePart
    process: EngineProcess | None = None
    retries: int = 0
    since_s: float = 0.0
    due_s: float = 0.0

    def start(self, *, quiet: bool = True) -> None:
        self.process = EngineProcess(self.recipe, self.serve_part, quiet=quiet)

    def follow(self, process: EngineProcess) -> None:
        """Takes a report of its process; one that has ended is started again later.

        Raises:
            UserError: if it has ended too often.
        """
        before = process.ready
        try:
            process.listen()
        except EngineEnded as ended:
            self._lost(process, str(ended))
        except UserError as error:
            self._lost(process, error.message)
        else:
            if process.ready is not before:
                self.since_s = time.monotonic()
                log.info("an engine serves again")

    def _lost(self, process: EngineProcess, how: str) -> None:
        self.process = None
        process.end()
        forget_process(process.pid)
        now = time.monotonic()
        if process.ready is not None and now - self.since_s > STEADY_S:
            self.retries = 0
        if self.retries == RETRIES:
            raise UserError(
                f"an engine ended {RETRIES + 1} times ({how})",
                "the lines above say why; if there are none, the machine's memory may be too small "
                "for so many engines",
            )
        wait_s = RETRY_S * 2**self.retries
        self.retries += 1
        self.due_s = now + wait_s
        log.warning(
            "an engine ended (%s), and %d session(s) with it; it is started again in %g s",
            how, process.sessions, wait_s,
        )  # fmt: skip


@contextmanager
def serving_parts(recipe: ServeRecipe, serve_part: ServePart) -> Iterator[list[Share]]:
    """As many processes as the recipe has engines, ready to serve; ended with the block.

    The first is awaited before the others are started: what is wrong with a checkpoint is said
    once, and a precision that is measured is the same for all.

    Args:
        serve_part: can be imported by a new process.

    Raises:
        UserError: as the first of them raises it.
    """
    with ExitStack() as stack:
        stack.enter_context(counted_together())
        shares = [Share(_part_of(recipe, at), serve_part) for at in range(recipe.engines)]
        stack.callback(_end, shares)
        first, *others = shares
        first.start(quiet=False)
        ready = _started(first)
        for share in shares:
            share.recipe = replace(share.recipe, precision=ready.precision)
        for share in others:
            share.start()
        for share in others:
            _started(share)
        yield shares


def hand_out(listener: socket.socket, shares: Sequence[Share]) -> None:
    """Passes every connection on to the process with the most places left. Where there is none,
    connections wait.

    Raises:
        UserError: when one of them has ended too often.
    """
    listener.setblocking(False)
    while True:
        running = [(share, p) for share in shares if (p := share.process) is not None]
        serving = [process for _, process in running if process.ready is not None]
        sources: list[Connection | socket.socket] = [process.reports for _, process in running]
        sources += [listener] if serving else []
        readable = wait(sources, _until_due_s(shares))
        for share, process in running:
            if process.reports in readable:
                share.follow(process)
        if listener in readable:
            _hand_on(listener, serving)
        for share in shares:
            if share.process is None and time.monotonic() >= share.due_s:
                share.start()


def _until_due_s(shares: Sequence[Share]) -> float | None:
    """How long until a process is to be started; None if none is."""
    due_s = min((share.due_s for share in shares if share.process is None), default=None)
    return None if due_s is None else max(0.0, due_s - time.monotonic())


def _hand_on(listener: socket.socket, serving: Sequence[EngineProcess]) -> None:
    try:
        connection, _ = listener.accept()
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE):  # it goes on waiting
            log.warning("a connection waits: %s", error.strerror)
            time.sleep(FULL_S)
        return  # else it is gone again
    with connection:
        for process in sorted(serving, key=lambda one: one.free, reverse=True):
            if process.hand(connection):
                return
    log.warning("a connection could not be handed on")


def _started(share: Share) -> Ready:
    """Waits until a process serves."""
    process = share.process
    assert process is not None
    try:
        while process.ready is None:
            process.listen()
    except EngineEnded as ended:
        raise UserError(
            f"an engine ended before it was ready ({ended})",
            "try engines=1; if that works, the machine's memory is too small for so many",
        ) from None
    share.since_s = time.monotonic()
    return process.ready


def _part_of(recipe: ServeRecipe, at: int) -> ServeRecipe:
    """What one process serves."""
    most, engines = recipe.limits.sessions, recipe.engines
    places = most // engines + (at < most % engines)
    device = f"cuda:{at}" if recipe.device == "cuda" else recipe.device
    limits = replace(recipe.limits, sessions=places)
    return replace(recipe, engines=1, limits=limits, device=device)


def _end(shares: Sequence[Share]) -> None:
    """Ends the processes legally, or after a while in any case."""
    processes = [share.process for share in shares if share.process is not None]
    for process in processes:
        process.stop()
    until_s = time.monotonic() + ENDING_S
    for process in processes:
        process.end(until_s - time.monotonic())
