"""One conversation with an endpoint of the OpenAI Realtime protocol.

::

    a stream            audio ──▶ settle        replies come when the server decides to speak
    an offline exchange audio ──▶ commit, response.create ──▶ the one reply that was asked for
"""

from __future__ import annotations

import asyncio
import base64
import json
import threading
import time as clock
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from inference.evaluate.outcome import Failure, Outcome
from inference.evaluate.systems.realtime_messages import (
    Received,
    ServerError,
    error_text,
    parsed,
    session_update,
)
from inference.evaluate.task import Item
from inference.packets import PCM16_SCALE, resampled
from inference.sources.recordings import Recording
from soundflow.errors import UserError
from soundflow.protocol.timebase import TimeBase

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection, connect

PINGS = 5
POLL_S = 0.02

Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Call:
    """Whom to call and how; see `RealtimeConfig`.

    Attributes:
        stopped: set where nobody waits for the rest: conversations end with their next packet.
    """

    url: str
    headers: Mapping[str, str] = field(repr=False)
    session: Mapping[str, Any]
    time: TimeBase
    rate_hz: int
    packet_s: float
    pace: float
    settle_s: float
    timeout_s: float
    stopped: threading.Event = field(default_factory=threading.Event, repr=False)


def reach(call: Call) -> str | None:
    """Opens a session and closes it; why it could not be opened, or None."""

    async def run() -> None:
        async with _within(call.timeout_s, "no session was opened"), _connected(call) as socket:
            await _await_event(socket, "session.created")

    failure = _failure_of(run)
    return None if failure is None else failure.detail


def converse(call: Call, item: Item[Any]) -> Outcome:
    """What the server says to one item. Failures are outcomes."""
    received = Received()
    try:
        recording = item.open()
    except UserError as error:
        return received.outcome(Failure("unreadable audio", error.message))

    has_audio = item.exchange is None or item.exchange.has_audio
    n_samples = item.n_samples if has_audio else 0

    async def run() -> None:
        async with AsyncExitStack() as stack:
            async with _within(call.timeout_s, "no session was opened"):
                socket = await stack.enter_async_context(_connected(call))
                await _await_event(socket, "session.created")
                system = item.system if recording.system is None else recording.system
                await socket.send(
                    json.dumps(session_update(call.session, call.rate_hz, system, item.exchange))
                )
                await _await_event(socket, "session.updated")
                received.round_trip_s = await _round_trip_s(socket)
            packets = _packets(call, recording, n_samples)
            lasts_s = call.time.seconds(n_samples) / call.pace
            await _talk(call, socket, packets, lasts_s, received, asked=item.exchange is not None)

    return received.outcome(_failure_of(run))


def _failure_of(run: Callable[[], Coroutine[Any, Any, None]]) -> Failure | None:
    from websockets.exceptions import ConnectionClosed, WebSocketException

    try:
        asyncio.run(run())
    except ServerError as error:
        return Failure("error event", str(error))
    except TimeoutError as error:
        return Failure("time-out", str(error))
    except ConnectionClosed as error:
        return Failure("dropped connection", str(error))
    except (OSError, WebSocketException) as error:
        return Failure("dropped connection", f"{type(error).__name__}: {error}")
    except UserError as error:
        return Failure("unreadable audio", error.message)
    return None


@asynccontextmanager
async def _within(seconds: float, what: str) -> AsyncIterator[None]:
    """Raises TimeoutError that says what did not happen."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise TimeoutError(f"{what} within {seconds:g} s") from error


def _connected(call: Call) -> connect:
    from websockets.asyncio.client import connect

    return connect(
        call.url, additional_headers=dict(call.headers), open_timeout=call.timeout_s,
        max_size=2**24, close_timeout=1.0,
    )  # fmt: skip


async def _round_trip_s(socket: ClientConnection) -> float:
    """The median of a few pings: the network, and no model."""
    return median([await (await socket.ping()) for _ in range(PINGS)])


async def _talk(
    call: Call,
    socket: ClientConnection,
    packets: Iterator[Float32],
    lasts_s: float,
    received: Received,
    *,
    asked: bool,
) -> None:
    """Sends at the given pace and listens, until everything is said."""
    began = clock.monotonic()
    apart_s = received.round_trip_s or 0.0

    async def listen() -> None:
        while True:
            event = parsed(await socket.recv())
            sent_s = (clock.monotonic() - began - apart_s) * call.pace
            try:
                received.take(event, max(0, call.time.samples(sent_s)))
            except (KeyError, TypeError, AttributeError) as error:
                raise ServerError(f"{event.get('type')} is not as in the protocol") from error

    async def send() -> None:
        async with _within(lasts_s + call.timeout_s, "the audio was not taken"):
            n_packets = await _send(call, socket, packets, began)
            if asked and not call.stopped.is_set():
                if n_packets:
                    await socket.send(json.dumps({"type": "input_audio_buffer.commit"}))
                await socket.send(json.dumps({"type": "response.create"}))

    listening = asyncio.create_task(listen())
    sending = asyncio.create_task(send())
    try:
        # Whoever fails first says why; what the server said is better than that it has gone.
        await asyncio.wait([listening, sending], return_when=asyncio.FIRST_COMPLETED)
        if listening.done():
            listening.result()
        sending.result()
        await (_answered if asked else _settled)(call, listening, received)
    finally:
        listening.cancel()
        sending.cancel()
        await asyncio.gather(listening, sending, return_exceptions=True)


async def _send(
    call: Call, socket: ClientConnection, packets: Iterator[Float32], began: float
) -> int:
    """Every packet when its last sample would have been recorded; how many they were."""
    sent = n_packets = 0
    for packet in packets:
        if call.stopped.is_set():
            break
        sent += len(packet)
        n_packets += 1
        due_s = began + sent / call.rate_hz / call.pace - clock.monotonic()
        await asyncio.sleep(max(0.0, due_s))
        pcm = np.clip(np.rint(packet * PCM16_SCALE), -32768, 32767).astype("<i2")
        audio = base64.b64encode(pcm.tobytes()).decode()
        await socket.send(json.dumps({"type": "input_audio_buffer.append", "audio": audio}))
    return n_packets


async def _settled(call: Call, listening: asyncio.Task[None], received: Received) -> None:
    """Returns when no reply is in progress, `Call.settle_s` after the audio or later."""
    ends = clock.monotonic() + call.timeout_s
    while True:
        await _listen_on(listening, call.settle_s)
        if call.stopped.is_set() or not received.in_progress:
            return
        if clock.monotonic() >= ends:
            raise TimeoutError(f"a reply did not end within {call.timeout_s:g} s of the audio")


async def _answered(call: Call, listening: asyncio.Task[None], received: Received) -> None:
    """Returns when the reply that was asked for has ended."""
    ends = clock.monotonic() + call.timeout_s
    while not received.ended or received.in_progress:
        if call.stopped.is_set():
            return
        if clock.monotonic() >= ends:
            what = "the reply did not end" if received.in_progress else "no reply began"
            raise TimeoutError(f"{what} within {call.timeout_s:g} s of being asked for")
        await _listen_on(listening, POLL_S)


async def _listen_on(listening: asyncio.Task[None], seconds: float) -> None:
    done, _ = await asyncio.wait([listening], timeout=seconds)
    if done:
        listening.result()


def _packets(call: Call, recording: Recording, n_samples: int) -> Iterator[Float32]:
    """Recording and silence at the rate of the call, cut into packets."""

    def padded() -> Iterator[Float32]:
        left = n_samples
        for block in recording.blocks:
            yield block[:left]
            left -= len(block[:left])
        while left > 0:
            yield np.zeros(min(left, call.time.chunk_samples), np.float32)
            left -= call.time.chunk_samples

    size = max(1, round(call.packet_s * call.rate_hz))
    held = np.zeros(0, np.float32)
    for block in resampled(padded(), call.time.sample_rate_hz, call.rate_hz):
        held = np.concatenate((held, block))
        while len(held) >= size:
            yield held[:size]
            held = held[size:]
    if len(held):
        yield held


async def _await_event(socket: ClientConnection, kind: str) -> None:
    while True:
        event = parsed(await socket.recv())
        if event.get("type") == "error":
            raise ServerError(error_text(event.get("error")))
        if event.get("type") == kind:
            return
