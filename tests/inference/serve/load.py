"""Load on a running server: ``python -m tests.inference.serve.load WS_URL CLIENTS SECONDS``.

Every client sends at the speed of a microphone. Prints the chunks decided on, and how long after
the client had sent a chunk its decision was there (p50, p95, worst, in seconds).
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

import numpy as np
from websockets.asyncio.client import connect

from tests.inference.serve.audio import RATE_HZ, noise, packets

CHUNK_S, PACKET_S = 0.4, 0.1


async def client(url: str, seconds: float, number: int) -> list[float]:
    """The delay of every decision of one client."""
    await asyncio.sleep(0.05 * number)
    async with connect(f"{url}/v1/stream") as socket:
        began = time.monotonic()

        async def talk() -> None:
            audio = noise(seconds, seed=number)
            for i, packet in enumerate(packets(audio, round(2 * RATE_HZ * PACKET_S))):
                await asyncio.sleep(max(0.0, began + (i + 1) * PACKET_S - time.monotonic()))
                await socket.send(packet)
            await socket.send('{"command": "finish"}')

        talking = asyncio.create_task(talk())
        delays: list[float] = []
        async for message in socket:
            event = json.loads(message)
            if event["event"] == "decided":
                assert event["chunk"] == len(delays)
                delays.append(time.monotonic() - began - (event["chunk"] + 1) * CHUNK_S)
        await talking
        return delays


async def load(url: str, clients: int, seconds: float) -> dict[str, float]:
    found = await asyncio.gather(*(client(url, seconds, i) for i in range(clients)))
    delays = np.concatenate([np.array(one) for one in found])
    p50, p95, worst = np.quantile(delays, (0.5, 0.95, 1.0))
    return {"chunks": len(delays), "p50_s": p50, "p95_s": p95, "worst_s": worst}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(load(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))))
