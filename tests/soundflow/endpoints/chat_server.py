"""A real HTTP server that speaks the chat-completions protocol, and misbehaves when told to."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

Body = dict[str, Any]


@dataclass(frozen=True)
class Say:
    """A proper completion with this text (or this object as JSON)."""

    text: Any
    finish_reason: str = "stop"
    after_s: float = 0.0


@dataclass(frozen=True)
class Raw:
    """Any status, headers and bytes."""

    status: int
    content: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Cut:
    """Promises more bytes than it sends, then closes the connection."""


@dataclass(frozen=True)
class Dribble:
    """Sends a header line every ``every_s`` without end: no single read ever times out."""

    every_s: float = 0.05


Action = Say | Raw | Cut | Dribble


class ChatServer:
    """``answer(n, body)`` decides about the n-th request (from 0)."""

    def __init__(self, answer: Callable[[int, Body], Action]) -> None:
        self.answer = answer
        self.bodies: list[Body] = []
        self.headers: list[dict[str, str]] = []
        self.times_s: list[float] = []
        self.most_at_once = 0
        self._at_once = 0
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self) -> ChatServer:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        self._stopping.set()
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True
            wbufsize = -1

            def log_message(self, *_: object) -> None:
                pass

            def do_POST(self) -> None:
                if server._stopping.is_set():  # a dead server keeps no connection alive
                    self.close_connection = True
                    return
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                with server._lock:
                    number = len(server.bodies)
                    server.bodies.append(body)
                    server.headers.append({k.lower(): v for k, v in self.headers.items()})
                    server.times_s.append(time.monotonic())
                    server._at_once += 1
                    server.most_at_once = max(server.most_at_once, server._at_once)
                try:
                    server._act(self, server.answer(number, body))
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True
                finally:
                    with server._lock:
                        server._at_once -= 1

        return Handler

    def _act(self, request: BaseHTTPRequestHandler, action: Action) -> None:
        match action:
            case Say(text, finish_reason, after_s):
                self._stopping.wait(after_s)
                said = text if isinstance(text, str) else json.dumps(text)
                choice = {
                    "index": 0,
                    "finish_reason": finish_reason,
                    "message": {"role": "assistant", "content": said},
                }
                _send(request, 200, json.dumps({"choices": [choice]}).encode(), {})
            case Raw(status, content, headers):
                _send(request, status, content, headers)
            case Cut():
                request.send_response(200)
                request.send_header("Content-Length", "1000")
                request.end_headers()
                request.wfile.write(b'{"choices": [')
                request.close_connection = True
            case Dribble(every_s):
                request.wfile.write(b"HTTP/1.1 200 OK\r\n")
                while not self._stopping.wait(every_s):
                    request.wfile.write(b"X-More: and more\r\n")
                    request.wfile.flush()
                request.close_connection = True


def _send(
    request: BaseHTTPRequestHandler, status: int, content: bytes, headers: dict[str, str]
) -> None:
    request.send_response(status)
    for name, value in {"Content-Type": "application/json", **headers}.items():
        request.send_header(name, value)
    request.send_header("Content-Length", str(len(content)))
    request.end_headers()
    request.wfile.write(content)
