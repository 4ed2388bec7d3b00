"""Load on a running server: ``python -m tests.inference.serve.load WS_URL CLIENTS SECONDS``.

Every client sends at the speed of a microphone, and has one reply spoken halfway. All are connected
before the first begins, and their chunks end at different times. Prints, as JSON and in seconds:

* how long after a chunk was over its decision was there, for the client: p50, p99, and the share of
  more than a chunk (``late``). A chunk that was recorded during a reply is decided on after it.
* how long after it was asked for the first text of a reply was there: p50, p99.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import dataclass, field

import numpy as np
from websockets.asyncio.client import ClientConnection, connect

from tests.inference.serve.audio import RATE_HZ, noise, packets

CHUNK_S, PACKET_S = 0.4, 0.1
AT_ONCE = 32  # clients that connect at the same time


@dataclass
class Client:
    """One client, and what it measures."""

    socket: ClientConnection
    audio: list[bytes]
    delays_s: list[float] = field(default_factory=list)
    first_text_s: float | None = None
    _asked_s: float = 0.0

    async def run(self, began: float) -> None:
        talking = asyncio.create_task(self._talk(began))
        spoke_until = began
        async for message in self.socket:
            event, now = json.loads(message), time.monotonic()
            match event["event"]:
                case "decided":
                    assert event["chunk"] == len(self.delays_s)
                    due = began + (event["chunk"] + 1) * CHUNK_S
                    self.delays_s.append(now - max(due, spoke_until))
                case "reply_text":
                    spoke_until = now
                    if self.first_text_s is None:
                        self.first_text_s = now - self._asked_s
                case "reply_ended":
                    spoke_until = now
                case "error":
                    raise RuntimeError(event["message"])
        await talking

    async def _talk(self, began: float) -> None:
        halfway = len(self.audio) // 2 // round(CHUNK_S / PACKET_S) * round(CHUNK_S / PACKET_S)
        for i, packet in enumerate(self.audio):
            await asyncio.sleep(max(0.0, began + (i + 1) * PACKET_S - time.monotonic()))
            await self.socket.send(packet)
            if i + 1 == halfway:
                self._asked_s = time.monotonic()
                await self.socket.send('{"command": "respond"}')
        await self.socket.send('{"command": "finish"}')


async def open_client(url: str, seconds: float, number: int, turn: asyncio.Semaphore) -> Client:
    async with turn:
        socket = await connect(f"{url}/v1/stream", open_timeout=60)
        await socket.send('{"command": "configure", "proactive": false}')
    audio = packets(noise(seconds, seed=number), round(2 * RATE_HZ * PACKET_S))
    return Client(socket, audio)


async def load(url: str, n: int, seconds: float) -> dict[str, float]:
    turn = asyncio.Semaphore(AT_ONCE)
    clients = await asyncio.gather(*(open_client(url, seconds, i, turn) for i in range(n)))
    began = time.monotonic() + 0.5
    await asyncio.gather(*(one.run(began + CHUNK_S * i / n) for i, one in enumerate(clients)))
    delays = np.concatenate([one.delays_s for one in clients])
    first = [one.first_text_s for one in clients if one.first_text_s is not None]
    assert len(first) == n
    p50, p99 = np.quantile(delays, (0.5, 0.99))
    first_p50, first_p99 = np.quantile(first, (0.5, 0.99))
    return {
        "chunks": len(delays), "late": float(np.mean(delays > CHUNK_S)),
        "decision_p50_s": p50, "decision_p99_s": p99,
        "first_text_p50_s": first_p50, "first_text_p99_s": first_p99,
    }  # fmt: skip


if __name__ == "__main__":
    print(json.dumps(asyncio.run(load(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))))
