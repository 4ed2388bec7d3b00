"""Several engines behind one address: shared limits and metrics, one that is killed, the end."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from multiprocessing import Pipe
from multiprocessing.reduction import recv_handle
from pathlib import Path

import httpx
import pytest
from openai.types.realtime import RealtimeErrorEvent
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from inference.serve import engines
from inference.serve.engines import hand_out, serving_parts
from inference.serve.intake import SILENT_TICKS, Closed, Intake, Load, Opened
from inference.serve.recipe import ServeRecipe
from soundflow.errors import UserError
from tests.inference.serve.audio import noise
from tests.inference.serve.servers import Running, closed_with, events_until, open_stream, server


def metric(running: Running, name: str) -> float:
    lines = httpx.get(f"{running.url}/metrics").text.splitlines()
    return float(next(line for line in lines if line.startswith(f"{name} ")).split()[1])


def engine_processes(running: Running) -> list[int]:
    assert running.process is not None
    parent = running.process.pid
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return [int(c) for c in children if b"spawn_main" in Path(f"/proc/{c}/cmdline").read_bytes()]


async def is_told_of_the_end(client: ClientConnection) -> bool:
    """Whether the client is told that its engine ended; the others are told nothing."""
    try:
        told = json.loads(await asyncio.wait_for(client.recv(), 1))
    except TimeoutError:
        return False
    if told.pop("event", None) == "error":  # our own protocol
        assert told == {
            "code": "engine_ended",
            "message": "the session's engine ended; connect again",
            "param": None,
        }
    else:
        RealtimeErrorEvent.model_validate(told)
        assert told["error"]["type"] == "server_error"
        assert told["error"]["code"] == "engine_ended"
    with pytest.raises(ConnectionClosed):
        await client.recv()
    assert (client.close_code, client.close_reason) == (1012, "engine_ended")
    return True


@pytest.mark.slow
def test_several_engines_are_one_server(checkpoint: Path) -> None:
    """The limit and the metrics are those of all processes. One that is killed ends the sessions
    that it has, and is started again; a signal ends all of them."""

    async def run(running: Running) -> None:
        clients = [await open_stream(running) for _ in range(4)]
        others = [await connect(f"{running.ws}/v1/realtime") for _ in range(2)]
        for other in others:
            assert json.loads(await other.recv())["type"] == "session.created"
        with pytest.raises(InvalidStatus) as refused:
            await open_stream(running)
        assert refused.value.response.status_code == 503
        for client in clients:
            await client.send(noise(1.0))
            for _ in range(2):
                await events_until(client, "decided")
        assert metric(running, "soundflow_sessions") == 6
        assert metric(running, "soundflow_audio_seconds_total") == 4
        await clients[0].close()
        while metric(running, "soundflow_sessions") > 5:
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.5)  # the process that accepts is told ten times a second
        clients[0] = await open_stream(running)

        os.kill(engine_processes(running)[0], signal.SIGKILL)
        told = await asyncio.gather(*map(is_told_of_the_end, (*clients, *others)))
        assert [told[:4].count(True), told[4:].count(True)] == [2, 1]
        assert httpx.get(f"{running.url}/healthz").json() == {"status": "degraded", "engines": 1}
        assert metric(running, "soundflow_sessions") == 3
        clients = [client for client, ended in zip(clients, told[:4], strict=True) if not ended]
        for client in clients:
            await client.send(noise(1.0))
            await events_until(client, "decided")
        while httpx.get(f"{running.url}/healthz").json()["status"] == "degraded":
            await asyncio.sleep(0.1)
        assert metric(running, "soundflow_engine_starts_total") == 3
        await asyncio.sleep(0.5)
        clients += [await open_stream(running) for _ in range(2)]
        for client in clients:
            await client.send(noise(1.0))
            await events_until(client, "decided")

        assert running.process is not None
        running.process.send_signal(signal.SIGTERM)
        for client in clients:
            found, code, reason = await closed_with(client)
            assert (code, reason) == (1001, "server_shutdown")
            assert [e["event"] for e in found][-2:] == ["session_ended", "error"]

    with server(checkpoint, "engines=2", "limits.sessions=6") as running:
        asyncio.run(run(running))
        assert running.process is not None
        assert running.process.wait(30) == 128 + signal.SIGTERM


def test_a_connection_is_no_session_to_come_once_it_has_made_a_request() -> None:
    """So the scrapes of metrics take no places."""

    async def run() -> None:
        ours, theirs = socket.socketpair()
        reports, reporting = Pipe(duplex=False)
        intake = Intake(theirs, reporting)
        connected = asyncio.Queue[socket.socket]()
        intake.begin(connected.put, lambda: None)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            clients = [socket.create_connection(listener.getsockname()) for _ in range(2)]
            for _ in clients:
                accepted, _ = listener.accept()
                socket.send_fds(ours, [b"."], [accepted.fileno()])
                accepted.close()
        taken = [await connected.get() for _ in clients]
        intake.tell(0)
        assert not reports.poll()  # as before: nothing is known
        intake.requested(taken[0].getpeername())
        intake.tell(1)
        assert reports.recv() == Load(1, 1)
        for _ in range(SILENT_TICKS):
            intake.tell(1)
        assert reports.recv() == Load(1, 2)  # the other one stays silent
        for one in (*clients, *taken, ours, theirs):
            one.close()

    asyncio.run(run())


def test_a_client_that_is_gone_already_is_not_held() -> None:
    """Its socket cannot be passed on, and what follows would be taken for it."""
    ours, theirs = socket.socketpair()
    reports, reporting = Pipe()
    intake = Intake(theirs, reporting)
    ours.close()
    with intake.holding(ours, b"last"):
        assert not reports.poll()
    with intake.holding(theirs, b"last"):
        assert isinstance(reports.recv(), Opened)
        os.close(recv_handle(reports))
    assert isinstance(reports.recv(), Closed)
    for one in (theirs, reports, reporting):
        one.close()


def end_at_once(recipe: ServeRecipe, intake: Intake) -> None:
    intake.ready("fp32")
    os._exit(3)


def test_an_engine_that_ends_again_and_again_ends_the_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engines, "RETRIES", 0)
    recipe = ServeRecipe(Path("served"))
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        pytest.raises(UserError, match=r"an engine ended 1 times \(exit code 3\)"),
        serving_parts(recipe, end_at_once) as shares,
    ):
        hand_out(listener, shares)
