"""The application: the page, the two protocols, health and metrics."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from starlette.applications import Starlette
from starlette.datastructures import QueryParams
from starlette.requests import HTTPConnection, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from inference.engine import Engine
from inference.serve.access import Gate
from inference.serve.connection import Connection, Holding
from inference.serve.dialect import Dialect
from inference.serve.faults import Fault
from inference.serve.metrics import CONTENT_TYPE, Metrics
from inference.serve.realtime import RealtimeDialect
from inference.serve.recipe import ServeRecipe
from inference.serve.stream import StreamDialect
from inference.sessions.config import SessionConfig
from inference.sessions.live import LiveEngine
from inference.sessions.memory import require_room
from soundflow.errors import UserError

log = logging.getLogger(__name__)

PAGE = Path(__file__).with_name("page")
# Of what a browser offers, apart from the token.
SUBPROTOCOLS = ("realtime", "soundflow")

_STATUS = {
    "authentication_error": 401,
    "invalid_request_error": 403,
    "rate_limit_error": 429,
    "server_error": 503,
}
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Permissions-Policy": "microphone=(self)",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}


class Service:
    """An engine and its clients.

    Args:
        engines: how many the server has, of which this is one.
        holding: as of `Connection`.
    """

    def __init__(
        self,
        engine: Engine,
        live: LiveEngine,
        recipe: ServeRecipe,
        token: str | None,
        engines: int = 1,
        holding: Holding | None = None,
    ) -> None:
        self._engine = engine
        self._live = live
        self._recipe = recipe
        self._engines = engines
        self._holding = holding
        config = recipe.session
        self._config = replace(
            config,
            system=engine.system if config.system is None else config.system,
            threshold=engine.threshold if config.threshold is None else config.threshold,
        )
        self._gate = Gate(recipe, token)
        self._connections: set[Connection] = set()
        self._draining = False
        self._metrics = Metrics(engine.spec.time.chunk_s)
        self.app = Starlette(
            routes=[
                Route("/", self._page("index.html")),
                *(Route(f"/{n}", self._page(n)) for n in ("page.css", "page.js", "capture.js")),
                Route("/healthz", self._health),
                Route("/metrics", self._show_metrics),
                WebSocketRoute("/v1/stream", self._stream),
                WebSocketRoute("/v1/realtime", self._realtime),
            ]
        )

    @property
    def failed(self) -> bool:
        """Whether the engine has stopped by an error."""
        return self._live.error is not None

    @property
    def sessions(self) -> int:
        """How many clients are connected."""
        return len(self._connections)

    def measure(self) -> None:
        """Brings the figures up to date that nobody counts: often, since another process may be the
        one that is asked, and when this one is."""
        self._metrics.waiting_chunks.set(sum(c.waiting_chunks for c in self._connections))

    async def drain(self) -> None:
        """Refuses new clients and ends the present ones: replies, sessions, connections."""
        self._draining = True
        for connection in self._connections:
            connection.stop()
        while self._connections:
            await asyncio.sleep(0.02)

    async def _stream(self, websocket: WebSocket) -> None:
        await self._serve(
            websocket, lambda: StreamDialect(self._engine, self._config, self._require_fits)
        )

    async def _realtime(self, websocket: WebSocket) -> None:
        model = QueryParams(websocket.scope["query_string"]).get("model", "soundflow")[:64]
        await self._serve(
            websocket,
            lambda: RealtimeDialect(self._engine, self._config, self._require_fits, model),
        )

    async def _serve(self, websocket: WebSocket, dialect: Callable[[], Dialect]) -> None:
        try:
            self._check(websocket)
            self._require_room()
        except Fault as fault:
            self._metrics.refused.labels(fault.code).inc()
            await websocket.send_denial_response(_refusal(fault))
            return
        connection = Connection(
            websocket,
            dialect(),
            self._live,
            self._config,
            self._recipe.limits,
            self._metrics,
            self._holding,
        )
        self._connections.add(connection)  # before anything is awaited: the limit is exact
        self._metrics.sessions.set(len(self._connections))
        try:
            offered = websocket.scope["subprotocols"]
            await websocket.accept(next((n for n in SUBPROTOCOLS if n in offered), None))
            await connection.run()
        finally:
            self._connections.discard(connection)
            self._metrics.sessions.set(len(self._connections))

    def _check(self, request: HTTPConnection) -> None:
        self._gate.check_host(request)
        self._gate.check_origin(request)
        self._gate.check_token(request)

    def _require_room(self) -> None:
        if self._draining:
            raise Fault("server_shutdown", "the server is shutting down", kind="server_error")
        if len(self._connections) >= self._recipe.limits.sessions:
            raise Fault("too_many_sessions", "all sessions are taken", kind="server_error")

    def _require_fits(self, config: SessionConfig) -> None:
        engine = self._engine
        prefix, limit = engine.prefix_ids(config.system), engine.limit_of(config.limit_positions)
        try:
            require_room(engine, len(prefix), limit)
        except UserError as error:
            raise Fault("invalid_value", error.message, param="instructions") from None

    def _page(self, name: str) -> Callable[[Request], Response]:
        def show(request: Request) -> Response:
            try:
                self._gate.check_host(request)
            except Fault as fault:
                return _refusal(fault)
            return FileResponse(PAGE / name, headers=_HEADERS)

        return show

    async def _health(self, request: Request) -> Response:
        if self.failed or self._draining:
            return JSONResponse({"status": "failed" if self.failed else "stopping"}, 503)
        serving = self._metrics.engines
        status = "ok" if serving == self._engines else "degraded"
        return JSONResponse({"status": status, "engines": serving})

    async def _show_metrics(self, request: Request) -> Response:
        try:
            self._gate.check_host(request)
            self._gate.check_token(request)
        except Fault as fault:
            return _refusal(fault)
        self.measure()
        return Response(self._metrics.page(), media_type=CONTENT_TYPE)


def _refusal(fault: Fault) -> Response:
    status = _STATUS[fault.kind]
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
    return JSONResponse({"error": fault.to_json()}, status, headers)
