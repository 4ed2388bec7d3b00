"""Clients that vanish, do not read, send too much or nonsense: nothing leaks, nobody else waits."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import torch
from websockets.exceptions import InvalidStatus

from inference.passes.model_runner import ModelRunner
from inference.serve.recipe import ServeLimits, ServeRecipe
from inference.serve.run import serve
from inference.sessions.executor import Executor
from tests.inference.serve.audio import noise, packets
from tests.inference.serve.servers import (
    ENGINE,
    ROOT,
    Running,
    closed_with,
    events_until,
    open_stream,
    server,
    serving,
)

HANDSHAKE = (
    "GET /v1/stream HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


@pytest.fixture(scope="module")
def strict() -> Iterator[Running]:
    limits = ServeLimits(
        sessions=4, message_bytes=65_536, messages_per_s=100, ahead_s=3, idle_s=2, session_s=4,
        waiting_messages=40, ping_s=0.5,
    )  # fmt: skip
    with serving(limits=limits) as found:
        yield found


def raw_client(running: Running) -> socket.socket:
    """A socket after the handshake, that answers nothing by itself."""
    host = running.url.removeprefix("http://")
    name, port = host.split(":")
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    client.connect((name, int(port)))
    client.sendall(HANDSHAKE.format(host=host).encode())
    assert client.recv(12) == b"HTTP/1.1 101"
    return client


def test_a_client_that_does_not_finish_a_request_is_given_up(strict: Running) -> None:
    """Also not its second one, and not the handshake of a WebSocket."""
    address = strict.url.removeprefix("http://")
    request = f"GET /healthz HTTP/1.1\r\nHost: {address}\r\n\r\n".encode()
    host, port = address.split(":")
    silent, begun, second, upgrading = (
        socket.create_connection((host, int(port)), timeout=20) for _ in range(4)
    )
    begun.sendall(request[:20])
    second.sendall(request)
    answered = b""
    while not answered.endswith(b"}"):
        answered += second.recv(10_000)
    second.sendall(request[:20])
    upgrading.sendall(HANDSHAKE.format(host=address)[:-4].encode())
    for one in (silent, begun, second, upgrading):
        with one, contextlib.suppress(ConnectionResetError):
            assert one.recv(1) == b""


def frame(opcode: int, data: bytes) -> bytes:
    """A whole masked frame; the mask is zero."""
    length = struct.pack("!BH", 0x80 | 126, len(data))
    return bytes([0x80 | opcode]) + length + bytes(4) + data


def sessions(running: Running) -> float:
    text = httpx.get(f"{running.url}/metrics").text
    return float(
        next(x for x in text.splitlines() if x.startswith("soundflow_sessions ")).split()[1]
    )


def wait_until_empty(running: Running) -> None:
    for _ in range(200):
        if sessions(running) == 0:
            return
        time.sleep(0.05)
    raise AssertionError("sessions were left behind")


async def answered(running: Running) -> None:
    """Another client is served as if nothing had happened."""
    client = await open_stream(running)
    await client.send(noise(0.5))
    await asyncio.wait_for(events_until(client, "decided"), 10)
    await client.close()


def test_each_limit_has_its_error(strict: Running) -> None:
    async def run() -> None:
        flood = await open_stream(strict)
        for _ in range(300):
            await flood.send(b"\x00\x00")
        found, code, reason = await closed_with(flood)
        assert (code, reason) == (1008, "rate_limit_exceeded")
        assert found[-1]["code"] == "rate_limit_exceeded"

        ahead = await open_stream(strict)
        for packet in packets(bytes(32_000 * 5), 32_000):
            await ahead.send(packet)
        found, code, reason = await closed_with(ahead)
        assert (code, reason) == (1008, "rate_limit_exceeded")
        assert "ahead of real time" in found[-1]["message"]

        big = await open_stream(strict)
        await big.send(bytes(70_000))
        assert (await closed_with(big))[1] == 1009

        idle = await open_stream(strict)
        found, code, reason = await closed_with(idle)
        assert (code, reason) == (1000, "idle_timeout")
        assert [e["event"] for e in found[-2:]] == ["session_ended", "error"]

    asyncio.run(run())
    wait_until_empty(strict)


def test_a_session_that_is_too_long_ends_legally(strict: Running) -> None:
    async def run() -> None:
        client = await open_stream(strict)

        async def talk() -> None:
            for i in range(100):
                await client.send(noise(0.2, seed=i))
                await asyncio.sleep(0.19)

        talking = asyncio.create_task(talk())
        found, code, reason = await closed_with(client)
        talking.cancel()
        assert (code, reason) == (1000, "session_expired")
        assert "session_ended" in [e["event"] for e in found]

    asyncio.run(run())


def test_too_many_sessions_are_refused_until_one_ends(strict: Running) -> None:
    async def run() -> None:
        clients = [await open_stream(strict) for _ in range(4)]
        with pytest.raises(InvalidStatus) as caught:
            await open_stream(strict)
        assert caught.value.response.status_code == 503
        assert b"too_many_sessions" in caught.value.response.body
        for client in clients:
            await client.close()

    asyncio.run(run())
    wait_until_empty(strict)
    asyncio.run(answered(strict))


def test_killed_and_half_open_clients_leave_nothing(strict: Running) -> None:
    killed = raw_client(strict)
    killed.sendall(frame(2, noise(0.6)))
    killed.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    killed.close()  # by a reset, as when the process dies
    half_open = raw_client(strict)
    half_open.sendall(frame(2, noise(0.6)))  # and never a pong
    asyncio.run(answered(strict))
    wait_until_empty(strict)
    half_open.close()


def test_a_reader_that_stops_reading_is_given_up() -> None:
    """Its answers fill the buffers of the kernel, then ours, which are bounded."""
    limits = ServeLimits(messages_per_s=10_000, waiting_messages=40, ping_s=60)
    with serving(limits=limits) as running:
        slow = raw_client(running)
        slow.settimeout(20)
        configure = frame(1, b'{"command": "configure"}')
        try:
            for _ in range(200):
                slow.sendall(configure * 50)
                time.sleep(0.01)
        except ConnectionError:
            pass  # given up already
        asyncio.run(answered(running))
        wait_until_empty(running)
        metrics = httpx.get(f"{running.url}/metrics").text
        assert 'soundflow_sessions_ended_total{how="slow_reader"} 1.0' in metrics
        slow.close()


def test_garbage_is_answered_or_closed(strict: Running) -> None:
    host = strict.url.removeprefix("http://").split(":")
    rng = random.Random(0)
    for _ in range(20):
        with socket.create_connection((host[0], int(host[1]))) as client:
            client.sendall(rng.randbytes(500) + b"\r\n\r\n")
    for _ in range(20):
        client = raw_client(strict)
        client.sendall(rng.randbytes(300))
        client.close()
        wait_until_empty(strict)  # it counts against the limit until the server has noticed
    asyncio.run(answered(strict))


def test_many_opens_and_closes_leave_no_file_open(running: Running) -> None:
    files = Path("/proc/self/fd")  # the server is a thread of this process

    async def run(times: int) -> None:
        for i in range(times):
            client = await open_stream(running)
            if i % 3 == 0:
                await client.send(noise(0.1))
            await client.close()

    asyncio.run(run(10))
    wait_until_empty(running)
    before = len(list(files.iterdir()))
    asyncio.run(run(150))
    wait_until_empty(running)
    assert len(list(files.iterdir())) <= before + 3


def test_a_signal_ends_replies_then_sessions_then_the_server(checkpoint: Path) -> None:
    with server(checkpoint, "session.threshold=0.0") as running:

        async def run() -> None:
            client = await open_stream(running)
            for i in range(10):
                await client.send(noise(0.4, seed=i))
            await events_until(client, "reply_started")
            assert running.process is not None
            running.process.send_signal(signal.SIGTERM)
            found, code, reason = await closed_with(client)
            assert (code, reason) == (1001, "server_shutdown")
            names = [e["event"] for e in found]
            assert names[-2:] == ["session_ended", "error"]
            assert names.count("reply_ended") == names.count("reply_started") + 1

        asyncio.run(run())
        assert running.process.wait(30) == 128 + signal.SIGTERM


def test_an_engine_that_fails_ends_its_sessions_and_the_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever watches over the server then starts it again."""

    def fail(*args: object) -> None:
        raise ArithmeticError("a defect")

    said: SimpleQueue[str] = SimpleQueue()
    console = SimpleNamespace(print=lambda line, soft_wrap: said.put(line))
    recipe = ServeRecipe(Path("served"), port=0)
    monkeypatch.setattr(threading, "excepthook", lambda args: None)
    with ThreadPoolExecutor(1) as threads:
        served = threads.submit(serve, recipe, console, lambda *_: ENGINE)
        running = Running(said.get(timeout=60).split("/ ")[0].removeprefix("listening on "))

        async def run() -> None:
            client = await open_stream(running)
            monkeypatch.setattr(Executor, "_encode", fail)
            await client.send(noise(0.5))
            found, code, _ = await closed_with(client)
            assert (found[-1]["code"], code) == ("internal_error", 1011)

        asyncio.run(run())
        with pytest.raises(ArithmeticError, match="a defect"):
            served.result(60)


def test_a_session_that_runs_out_of_memory_ends_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    encode = ModelRunner.encode

    def fail_once(*args: Any) -> Any:
        monkeypatch.setattr(ModelRunner, "encode", encode)
        raise torch.OutOfMemoryError("CUDA out of memory")

    async def run(running: Running) -> None:
        other = await open_stream(running)
        client = await open_stream(running)
        monkeypatch.setattr(ModelRunner, "encode", fail_once)
        await client.send(noise(0.5))
        found, code, reason = await closed_with(client)
        assert [e["event"] for e in found] == ["session_failed", "session_ended", "error"]
        assert (found[-1]["code"], code, reason) == ("overloaded", 1013, "overloaded")
        await other.send(noise(0.5))
        await events_until(other, "decided")

    with serving() as running:
        asyncio.run(run(running))


@pytest.mark.slow
def test_load_from_another_process(running: Running) -> None:
    """Eight clients at the speed of microphones; each is told about every chunk, in order."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.inference.serve.load", running.ws, "8", "4"],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
        timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    # What is missing of the chunk that is answered on request is filled with silence.
    assert json.loads(done.stdout)["chunks"] == 8 * 11
