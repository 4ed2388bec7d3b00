"""uvicorn, with an end that is legal and clients that can be given up."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import ssl
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

from inference.serve.app import Service
from inference.serve.connection import TRANSPORT_EXTENSION
from inference.serve.intake import Intake
from inference.serve.recipe import ServeRecipe
from soundflow.errors import UserError
from soundflow.signals import SIGNALS

DRAIN_S = 10.0


class _HttpProtocol(H11Protocol):
    """Gives up a client that does not finish a request, which uvicorn waits for without end."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_request()

    def connection_lost(self, error: Exception | None) -> None:
        self._timer.cancel()
        super().connection_lost(error)

    def _await_request(self) -> None:
        assert self.config.ws_ping_timeout is not None
        self._timer = self.loop.call_later(
            self.config.ws_ping_timeout, self._require_request, self.cycle
        )

    def _require_request(self, last: RequestResponseCycle | None) -> None:
        """``last`` is the request that there was when the time began."""
        if self.transport.get_protocol() is not self:  # it is a WebSocket by now
            return
        if self.cycle is last and (last is None or last.response_complete):
            self.transport.abort()
        else:
            self._await_request()


class _SocketProtocol(WebSocketsSansIOProtocol):
    """Can abort. To close politely, uvicorn first waits until everything is read: a client that is
    half-open, or does not read, would keep its socket until the kernel gives up.
    """

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if self.response.status_code == 101:
            self.scope["extensions"][TRANSPORT_EXTENSION] = {"transport": self.transport}

    def keepalive_timeout(self) -> None:
        super().keepalive_timeout()
        self.transport.abort()


class Server(uvicorn.Server):
    """Ends every session before it closes their sockets.

    Attributes:
        stopped_by: the signal that ended it.
    """

    def __init__(self, service: Service, recipe: ServeRecipe) -> None:
        super().__init__(
            uvicorn.Config(
                service.app,
                http=_HttpProtocol,
                ws=_SocketProtocol,
                ws_max_size=recipe.limits.message_bytes,
                ws_ping_interval=recipe.limits.ping_s,
                ws_ping_timeout=recipe.limits.ping_s,
                ws_per_message_deflate=False,
                lifespan="off",
                log_config=None,
                log_level="critical",
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=int(DRAIN_S),
            )
        )
        self._service = service
        self._intake: Intake | None = None
        self.stopped_by: int | None = None

    def serve_on(self, listener: socket.socket, tls: ssl.SSLContext | None) -> None:
        """Runs until a signal comes, or the engine fails."""
        self.config.load()
        self.config.ssl = tls
        self.run(sockets=[listener])

    def serve_from(self, intake: Intake, tls: ssl.SSLContext | None) -> None:
        """As `serve_on`, for connections that another process accepts."""
        self.config.load()
        self.config.ssl = tls
        self._intake = intake
        app = self.config.loaded_app

        async def counted(scope: Any, receive: Any, send: Any) -> None:
            intake.requested(scope["client"])
            await app(scope, receive, send)

        self.config.loaded_app = counted
        self.run(sockets=[])

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self._intake is not None:
            self._intake.begin(self._connect, self._stop)

    async def _connect(self, connection: socket.socket) -> None:
        def protocol() -> asyncio.Protocol:
            return self.config.http_protocol_class(  # type: ignore[call-arg]
                config=self.config, server_state=self.server_state, app_state=self.lifespan.state
            )

        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                protocol, connection, ssl=self.config.ssl
            )
        except OSError:  # gone, or no TLS
            connection.close()

    def _stop(self) -> None:
        self.should_exit = True

    async def on_tick(self, counter: int) -> bool:
        """Whether to stop: also where the engine has, for it does not come back."""
        self._service.measure()
        if self._intake is not None:
            self._intake.tell(self._service.sessions)
        return self._service.failed or await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_S):
                await self._service.drain()
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """As the base class, for all signals that end a command; the caller raises."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {
            number: signal.getsignal(number)
            for number in SIGNALS
            if signal.getsignal(number) is not signal.SIG_IGN
        }
        for number in before:
            signal.signal(number, self.handle_exit)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.stopped_by = self.stopped_by or sig
        super().handle_exit(sig, frame)


def listen(recipe: ServeRecipe) -> socket.socket:
    """A bound socket; nobody can connect before the server runs.

    Raises:
        UserError: if there is no such address here, or the port is taken.
    """
    where = f"{recipe.host}:{recipe.port}"
    try:
        found = socket.getaddrinfo(recipe.host, recipe.port, type=socket.SOCK_STREAM)
        family, kind, protocol, _, address = found[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        raise UserError(
            f"{where}: cannot listen here ({error.strerror or error})",
            "choose another host or port; port=0 takes a free one",
        ) from error
    return listener


def tls_context(recipe: ServeRecipe) -> ssl.SSLContext | None:
    """The certificate of the server. Raises `UserError` if it cannot be used."""
    if recipe.tls_cert is None or recipe.tls_key is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(recipe.tls_cert, recipe.tls_key)
    except (OSError, ssl.SSLError) as error:
        raise UserError(
            f"{recipe.tls_cert}, {recipe.tls_key}: not a certificate and its key ({error})",
            "give both in PEM; for a trial: openssl req -x509 -newkey rsa:2048 -nodes -days 30 "
            "-subj /CN=localhost -keyout key.pem -out cert.pem",
        ) from error
    return context
