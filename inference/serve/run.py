"""`soundflow serve`: loads a checkpoint and serves it until a signal comes."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from inference.engine import Engine, load_engine, use_threads
from inference.limits import Limits
from inference.live import LiveEngine
from inference.lockstep import warm_up
from inference.profiles import Profile, profile_of
from inference.serve.access import read_token
from inference.serve.app import Service
from inference.serve.recipe import ServeRecipe
from inference.serve.server import Server, listen, tls_context
from soundflow.config.settings import Precision
from soundflow.errors import Stopped

OpenEngine = Callable[[Path, str, Precision, Profile], Engine]


def serve(recipe: ServeRecipe, console: Console, open_engine: OpenEngine = load_engine) -> None:
    """Serves until a signal comes or the engine fails, then ends every session.

    Args:
        console: is told the address once clients can connect.
        open_engine: reads ``recipe.checkpoint``; the command passes one that reads checkpoints of
            every form.

    Raises:
        UserError: if the address, the token, the certificate or the checkpoint cannot be used.
        Stopped: by the signal.
    """
    token, tls = read_token(recipe), tls_context(recipe)
    with listen(recipe) as listener:
        engine = open_engine(
            recipe.checkpoint, recipe.device, recipe.precision, profile_of(recipe.profile)
        )
        use_threads(engine, recipe.limits.sessions)
        warm_up(engine)
        live = LiveEngine(engine, Limits(max_sessions=recipe.limits.sessions))
        try:
            server = Server(Service(engine, live, recipe, token), recipe)
            scheme = "http" if tls is None else "https"
            host = f"[{recipe.host}]" if ":" in recipe.host else recipe.host
            url = f"{scheme}://{host}:{listener.getsockname()[1]}"
            listener.listen(128)  # who connects from now on waits for the loop to begin
            console.print(f"listening on {url}/ (Ctrl-C ends)", soft_wrap=True)
            server.serve_on(listener, tls)
        finally:
            live.close()
    if live.error is not None:
        raise live.error
    if server.stopped_by is not None:
        name = signal.Signals(server.stopped_by).name
        raise Stopped(server.stopped_by, f"stopped by {name}: every session was ended")
