"""One client: its socket, its session and its limits, until one of them ends.

::

    socket ─▶ _listen ─▶ dialect ─▶ session          each part returns an Ending;
    socket ◀─ _write ◀─ outbox ◀─ dialect ◀─ _tell   the first one ends the connection
              _watch: idle and length; _await_stop: the server goes down

The outbox is bounded: a client that does not read is given up, and delays nobody else.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import assert_never

from starlette.websockets import WebSocket, WebSocketDisconnect

from inference.events import ChunkDropped, Decided, SessionFailed
from inference.limits import OverloadedError
from inference.serve.allowance import Allowance
from inference.serve.dialect import (
    Action,
    Configure,
    Dialect,
    Finish,
    Interrupt,
    Message,
    Push,
)
from inference.serve.ending import GONE, Ending, ending_of, ending_with
from inference.serve.faults import GOING_AWAY, NORMAL, POLICY, RESTART, TRY_LATER, Fault
from inference.serve.held_sessions import last_frames
from inference.serve.metrics import Metrics
from inference.serve.recipe import ServeLimits
from inference.sessions.config import Respond, SessionConfig
from inference.sessions.live import LiveEngine
from inference.sessions.live_session import Session

# Set by the server on every WebSocket scope: the asyncio transport.
TRANSPORT_EXTENSION = "soundflow.transport"
# What says what a client is told if this process is killed in the block.
Holding = Callable[[socket.socket, bytes], AbstractContextManager[None]]
# Sound cards differ from the server's clock by far less.
DRIFT = 1.02
# How long a client may take to accept its last messages and the close frame.
CLOSING_S = 2.0
# How long the last reply of a session that the server ends may take to be cut short.
ENDING_S = 5.0


class Connection:
    """A client and its session.

    Args:
        dialect: the protocol that the client speaks.
        config: of its session, until it changes it.
        holding: None where nobody can say anything in place of this process.
    """

    def __init__(
        self,
        websocket: WebSocket,
        dialect: Dialect,
        live: LiveEngine,
        config: SessionConfig,
        limits: ServeLimits,
        metrics: Metrics,
        holding: Holding | None,
    ) -> None:
        self._websocket = websocket
        self._dialect = dialect
        self._live = live
        self._config = config
        self._limits = limits
        self._metrics = metrics
        self._holding = holding
        extension = websocket.scope["extensions"][TRANSPORT_EXTENSION]
        self._transport: asyncio.Transport = extension["transport"]
        self._outbox: asyncio.Queue[Message] = asyncio.Queue(limits.waiting_messages)
        self._stop = asyncio.Event()
        self._heard_at_s = time.monotonic()
        self._samples = 0
        self._answered_chunks = 0
        self._finished = False
        self._ending: Ending | None = None

    @property
    def waiting_chunks(self) -> int:
        """Chunks that arrived and are not decided on."""
        # A reply that is asked for completes a chunk with silence.
        chunks = self._samples // self._live.engine.spec.time.chunk_samples
        return max(0, chunks - self._answered_chunks)

    def stop(self) -> None:
        """Ends the reply in progress legally, then the session, then the connection."""
        self._stop.set()

    async def run(self) -> None:
        """Serves the client until one side ends it; returns when the socket is closed."""
        try:
            self._session: Session = await asyncio.to_thread(self._live.open, self._config)
        except OverloadedError as error:
            full = Fault("overloaded", error.message, kind="server_error", close=TRY_LATER)
            await self._close(Ending(full.code, full.close, full))
            return
        ending = GONE
        try:
            for message in self._dialect.opened():
                self._put(message)
            with self._held():
                ending = await self._first_ending()
        finally:
            self._end_session(gone=ending is GONE)
            self._metrics.ended.labels(ending.how).inc()
        await self._close(ending)
        # Its place is free when the engine has let go of it.
        with contextlib.suppress(TimeoutError, RuntimeError):
            async with asyncio.timeout(ENDING_S):
                async for _ in self._session.async_events():
                    pass

    def _held(self) -> AbstractContextManager[None]:
        if self._holding is None:
            return contextlib.nullcontext()
        ended = Fault(
            "engine_ended", "the session's engine ended; connect again", kind="server_error"
        )
        frames = last_frames(_text(self._dialect.fault(ended)), RESTART, ended.code)
        return self._holding(self._transport.get_extra_info("socket"), frames)

    def _end_session(self, *, gone: bool) -> None:
        with contextlib.suppress(RuntimeError):  # the engine has stopped, and its sessions with it
            if gone:
                self._session.abort()
            else:
                self._session.interrupt()
                self._session.close()

    async def _first_ending(self) -> Ending:
        parts = (self._tell(), self._listen(), self._write(), self._watch(), self._await_stop())
        tasks = [asyncio.create_task(ending_of(part)) for part in parts]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            return next(task for task in tasks if task in done).result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _listen(self) -> Ending:
        limits = self._limits
        messages = Allowance(limits.messages_per_s, 2.0 * limits.messages_per_s)
        audio = Allowance(DRIFT, limits.ahead_s)
        while True:
            message = await self._websocket.receive()
            if message["type"] == "websocket.disconnect":
                return GONE
            now_s = time.monotonic()
            if not messages.take(1.0, now_s):
                raise _too_fast(f"more than {limits.messages_per_s} messages a second")
            content = message.get("text")
            try:
                reaction = self._dialect.received(message["bytes"] if content is None else content)
                for action in reaction.actions:
                    if isinstance(action, Push) and not audio.take(action.seconds, now_s):
                        raise _too_fast(
                            f"more than {limits.ahead_s:g} s of audio ahead of real time"
                        )
                    self._do(action)
            except Fault as fault:
                self._metrics.refused.labels(fault.code).inc()
                if fault.close is not None:
                    raise
                self._put(self._dialect.fault(fault))
                continue
            for answer in reaction.messages:
                self._put(answer)

    def _do(self, action: Action) -> None:
        if self._finished:
            raise Fault("session_finished", "the session was finished; open another one")
        match action:
            case Push():
                try:
                    self._session.push(action.samples)
                except OverloadedError as error:
                    raise Fault("overloaded", error.message, kind="server_error") from None
                self._samples += len(action.samples)
                if action.seconds:
                    self._heard_at_s = time.monotonic()
                    self._metrics.heard(action.seconds)
            case Interrupt():
                self._session.interrupt(action.heard_tokens)
            case Respond():
                self._session.respond(action.config, remembered=action.remembered)
            case Configure():
                self._session.configure(action.config)
            case Finish():
                self._finished = True
                self._session.close()
            case _:
                assert_never(action)

    async def _tell(self) -> Ending:
        count = self._metrics.follow()
        async for event in self._session.async_events():
            if isinstance(event, Decided | ChunkDropped):
                self._answered_chunks += 1
            if isinstance(event, SessionFailed):
                self._ending = ending_with(event)
            count(event)
            for message in self._dialect.told(event, self._session.remembered_s):
                self._put(message)
        return self._ending or Ending("finished", NORMAL)

    async def _write(self) -> Ending:
        while True:
            await self._send(await self._outbox.get())

    async def _watch(self) -> Ending:
        """Ends a session that is idle, or too long."""
        ends_s = time.monotonic() + self._limits.session_s
        while True:
            idle_until_s = self._heard_at_s + self._limits.idle_s
            left_s = min(ends_s, idle_until_s) - time.monotonic()
            if left_s > 0:
                await asyncio.sleep(left_s)
            elif time.monotonic() >= ends_s:
                longest = f"a session lasts at most {self._limits.session_s:g} s"
                return await self._end(Fault("session_expired", longest, close=NORMAL))
            else:
                idle = f"no audio for {self._limits.idle_s:g} s"
                return await self._end(Fault("idle_timeout", idle, close=NORMAL))

    async def _await_stop(self) -> Ending:
        await self._stop.wait()
        shutdown = "the server is shutting down"
        return await self._end(
            Fault("server_shutdown", shutdown, kind="server_error", close=GOING_AWAY)
        )

    async def _end(self, fault: Fault) -> Ending:
        """Cuts the reply short and closes the session; `_tell` then reaches its end."""
        ending = self._ending = Ending(fault.code, fault.close, fault)
        self._finished = True
        self._session.interrupt()
        self._session.close()
        await asyncio.sleep(ENDING_S)
        return ending

    def _put(self, message: Message) -> None:
        try:
            self._outbox.put_nowait(message)
        except asyncio.QueueFull:
            unread = f"{self._limits.waiting_messages} messages were not read"
            raise Fault("slow_reader", unread, close=TRY_LATER) from None

    async def _send(self, message: Message) -> None:
        await self._websocket.send_text(_text(message))

    async def _close(self, ending: Ending) -> None:
        if ending.code is None:
            return
        try:
            async with asyncio.timeout(CLOSING_S):
                while not self._outbox.empty():
                    await self._send(self._outbox.get_nowait())
                if ending.fault is not None:
                    await self._send(self._dialect.fault(ending.fault))
                reason = ending.fault.code if ending.fault is not None else ""
                await self._websocket.close(ending.code, reason)
        except (TimeoutError, WebSocketDisconnect):
            self._transport.abort()  # without a close frame: it does not read
        else:
            # A client that never answers the close frame must not keep the socket.
            asyncio.get_running_loop().call_later(CLOSING_S, self._transport.abort)


def _text(message: Message) -> str:
    return json.dumps(message, ensure_ascii=False, separators=(",", ":"))


def _too_fast(what: str) -> Fault:
    return Fault("rate_limit_exceeded", what, kind="rate_limit_error", close=POLICY)
