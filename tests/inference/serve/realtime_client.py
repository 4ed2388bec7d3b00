"""The official client of the OpenAI Realtime protocol, in conversation with a real server."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from openai import AsyncOpenAI
from openai.resources.realtime.realtime import AsyncRealtimeConnection
from openai.types.realtime import RealtimeServerEvent
from pydantic import TypeAdapter

from tests.inference.serve.audio import packets
from tests.inference.serve.servers import Running

# Validates what the client of OpenAI only constructs.
SERVER_EVENT: TypeAdapter[RealtimeServerEvent] = TypeAdapter(RealtimeServerEvent)


def converse(running: Running, body: Callable[[AsyncRealtimeConnection], Awaitable[None]]) -> None:
    async def run() -> None:
        client = AsyncOpenAI(api_key="unused", base_url=f"{running.url}/v1")
        async with client.realtime.connect(model="soundflow") as connection:
            created = await checked(connection)
            assert created.type == "session.created"
            await asyncio.wait_for(body(connection), 60)

    asyncio.run(run())


async def checked(connection: AsyncRealtimeConnection) -> RealtimeServerEvent:
    raw = await connection.recv_bytes()
    event = connection.parse_event(raw)
    if b'"rate":16000' not in raw:  # an extension
        SERVER_EVENT.validate_json(raw)
    return event


async def until(connection: AsyncRealtimeConnection, kind: str) -> list[RealtimeServerEvent]:
    found = []
    while not found or found[-1].type != kind:
        found.append(await checked(connection))
    return found


async def say(connection: AsyncRealtimeConnection, audio: bytes) -> None:
    for packet in packets(audio):
        await connection.input_audio_buffer.append(audio=base64.b64encode(packet).decode())


def speak_at(threshold: float, **changes: object) -> dict[str, object]:
    detection = {"type": "server_vad", "threshold": threshold}
    audio = {"input": {"turn_detection": detection, **changes}}
    return {"type": "realtime", "audio": audio, "output_modalities": ["text"]}


def text_of(events: Sequence[Any]) -> str:
    return "".join(e.delta for e in events if e.type == "response.output_text.delta")
