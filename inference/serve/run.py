"""`soundflow serve`: loads a checkpoint and serves it until a signal comes."""

from __future__ import annotations

import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from rich.console import Console

from inference.engine import Engine, load_engine, use_threads
from inference.limits import Limits
from inference.profiles import Profile, profile_of
from inference.serve.access import read_token
from inference.serve.app import Service
from inference.serve.connection import Holding
from inference.serve.engines import hand_out, serving_parts
from inference.serve.intake import Intake
from inference.serve.recipe import ServeRecipe
from inference.serve.server import Server, listen, tls_context
from inference.sessions.live import LiveEngine
from inference.sessions.lockstep import warm_up
from soundflow.config.settings import Precision
from soundflow.errors import Stopped
from soundflow.signals import Interrupted

OpenEngine = Callable[[Path, str, Precision, Profile], Engine]


def serve(recipe: ServeRecipe, console: Console, open_engine: OpenEngine = load_engine) -> None:
    """Serves until a signal comes or the engine fails, then ends every session. Of several engines,
    one that fails is started again.

    Args:
        console: is told the address once clients can connect.
        open_engine: reads ``recipe.checkpoint``; the command passes one that reads checkpoints of
            every form. With several engines, each process imports it.

    Raises:
        UserError: if the address, the token, the certificate or the checkpoint cannot be used, or
            one of several engines ended again and again.
        Stopped: by the signal.
    """
    token, tls = read_token(recipe), tls_context(recipe)
    _allow_open_files()
    with listen(recipe) as listener:

        def announce() -> None:
            scheme = "http" if tls is None else "https"
            host = f"[{recipe.host}]" if ":" in recipe.host else recipe.host
            url = f"{scheme}://{host}:{listener.getsockname()[1]}"
            listener.listen(128)  # who connects from now on waits for the loop to begin
            console.print(f"listening on {url}/ (Ctrl-C ends)", soft_wrap=True)

        if recipe.engines == 1:
            with _one_server(recipe, token, open_engine) as (server, _):
                announce()
                server.serve_on(listener, tls)
            return
        part = partial(_serve_part, token=token, open_engine=open_engine, engines=recipe.engines)
        try:
            with serving_parts(recipe, part) as parts:
                announce()
                hand_out(listener, parts)
        except Interrupted as interrupted:
            raise _stopped(interrupted.number) from None


def _allow_open_files() -> None:
    """As many as the system lets a process have: a connection takes one, or two of several engines.
    What is usual is meant for programs that cannot have more than 1024."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


@contextmanager
def _one_server(
    recipe: ServeRecipe,
    token: str | None,
    open_engine: OpenEngine,
    engines: int = 1,
    holding: Holding | None = None,
) -> Iterator[tuple[Server, Engine]]:
    """A server with an engine, ready to serve.

    Args:
        engines: how many share the cores.
        holding: as of `Connection`.

    Raises:
        Stopped: where a signal ended it; the error of the engine where that failed.
    """
    engine = open_engine(
        recipe.checkpoint, recipe.device, recipe.precision, profile_of(recipe.profile)
    )
    use_threads(engine, recipe.limits.sessions, engines)
    warm_up(engine)
    live = LiveEngine(engine, Limits(max_sessions=recipe.limits.sessions))
    try:
        server = Server(Service(engine, live, recipe, token, engines, holding), recipe)
        yield server, engine
    finally:
        live.close()
    if live.error is not None:
        raise live.error
    if server.stopped_by is not None:
        raise _stopped(server.stopped_by)


def _serve_part(
    recipe: ServeRecipe,
    intake: Intake,
    *,
    token: str | None,
    open_engine: OpenEngine,
    engines: int,
) -> None:
    """One of several engines, in a process of its own."""
    tls = tls_context(recipe)
    # Nobody but this process can encrypt what its clients are sent.
    holding = intake.holding if tls is None else None
    with _one_server(recipe, token, open_engine, engines, holding) as (server, engine):
        intake.ready(engine.precision)
        server.serve_from(intake, tls)


def _stopped(number: int) -> Stopped:
    name = signal.Signals(number).name
    return Stopped(number, f"stopped by {name}: every session was ended")
