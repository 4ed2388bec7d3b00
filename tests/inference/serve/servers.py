"""Real servers with a model of the smallest size, in this process or their own, and clients."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import Pipe
from pathlib import Path

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from inference.decoder.sampling import SamplingConfig
from inference.engine import Engine
from inference.limits import Limits
from inference.serve.app import Service
from inference.serve.intake import Intake
from inference.serve.recipe import ServeRecipe
from inference.serve.server import Server, listen, tls_context
from inference.sessions.config import SessionConfig
from inference.sessions.live import LiveEngine
from inference.sessions.lockstep import warm_up
from soundflow.model.facts import TrainingFacts
from soundflow.model.weights import save_checkpoint
from tests.inference.engines import make_engine

ROOT = Path(__file__).resolve().parents[3]
START_S = 120


ENGINE = make_engine()
SAMPLING = SamplingConfig(temperature=0.0, max_reply_tokens=8)


@dataclass
class Running:
    """A server. ``process`` is None where it runs in a thread of this process."""

    url: str
    process: subprocess.Popen[str] | None = None

    @property
    def ws(self) -> str:
        return self.url.replace("http", "ws", 1)


@contextmanager
def handing_on(listener: socket.socket) -> Iterator[Intake]:
    """What takes the connections of ``listener``."""
    ours, theirs = socket.socketpair()
    reports, reporting = Pipe()

    def accept() -> None:
        with suppress(OSError):  # it is shut down at the end
            while True:
                connection, _ = listener.accept()
                socket.send_fds(ours, [b"."], [connection.fileno()])
                connection.close()

    thread = threading.Thread(target=accept)
    thread.start()
    with ours, theirs, reports, reporting:
        try:
            yield Intake(theirs, reporting)
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


@contextmanager
def serving(
    *,
    token: str | None = None,
    engine: Engine = ENGINE,
    handed_on: bool = False,
    **settings: object,
) -> Iterator[Running]:
    """A server in a thread, on a free port of loopback; ``settings`` are of `ServeRecipe`.

    Args:
        handed_on: connections are accepted outside the server, as for one of several engines.
    """
    settings = {"session": SessionConfig(sampling=SAMPLING), **settings}
    recipe = ServeRecipe(Path("served"), port=0, **settings)  # type: ignore[arg-type]
    tls = tls_context(recipe)
    # A machine that is busy with other tests is late, which is not what they are about.
    limits = Limits(max_sessions=recipe.limits.sessions, overload_s=600.0)
    warm_up(engine)
    with listen(recipe) as listener, LiveEngine(engine, limits) as live, ExitStack() as stack:
        server = Server(Service(engine, live, recipe, token), recipe)
        listener.listen(128)
        if handed_on:
            intake = stack.enter_context(handing_on(listener))
            thread = threading.Thread(target=server.serve_from, args=(intake, tls))
        else:
            thread = threading.Thread(target=server.serve_on, args=(listener, tls))
        thread.start()
        scheme = "http" if tls is None else "https"
        try:
            yield Running(f"{scheme}://127.0.0.1:{listener.getsockname()[1]}")
        finally:
            server.should_exit = True
            thread.join()


def write_checkpoint(folder: Path) -> Path:
    """Untrained, so that decisions are arbitrary; it speaks now and then."""
    facts = TrainingFacts(ENGINE.limit_positions, system=ENGINE.system)
    save_checkpoint(folder, ENGINE.model, ENGINE.tokenizer, ENGINE.spec, facts)
    return folder


@contextmanager
def server(checkpoint: Path, *words: str) -> Iterator[Running]:
    """``soundflow serve CHECKPOINT port=0 WORDS`` in a process of its own."""
    environment = {k: v for k, v in os.environ.items() if k != "SOUNDFLOW_TOKEN"}
    environment |= {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "soundflow.cli", "serve", str(checkpoint), "port=0",
         "precision=fp32", "session.sampling={temperature: 0.0, max_reply_tokens: 8}", *words],
        cwd=checkpoint.parent, env=environment, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r"https?://\S+:\d+", line)
        assert found, f"the server did not start: {line!r}"
        yield Running(found[0], process)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(10)


async def open_stream(running: Running, **options: object) -> ClientConnection:
    """A client of our protocol that has read ``session_opened``."""
    client = await connect(f"{running.ws}/v1/stream", **options)  # type: ignore[arg-type]
    assert json.loads(await client.recv())["event"] == "session_opened"
    return client


async def events_until(client: ClientConnection, name: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    async for message in client:
        found.append(json.loads(message))
        if found[-1]["event"] == name:
            return found
    raise AssertionError(f"closed before {name}: {found[-3:]}")


async def closed_with(
    client: ClientConnection,
) -> tuple[list[dict[str, object]], int | None, str | None]:
    """What it still reads, and how its connection ends."""
    found: list[dict[str, object]] = []
    try:
        while True:
            found.append(json.loads(await client.recv()))
    except ConnectionClosed:
        return found, client.close_code, client.close_reason
