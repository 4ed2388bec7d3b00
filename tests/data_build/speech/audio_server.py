"""A real HTTP server that speaks and listens, and misbehaves when told to."""

from __future__ import annotations

import email.parser
import email.policy
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Asked:
    """A request as the server saw it: JSON, or the fields and files of a form."""

    path: str
    fields: dict[str, Any]
    files: dict[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Answer:
    content: bytes
    status: int = 200
    after_s: float = 0.0
    cut: bool = False  # promises more than it sends


class AudioServer:
    """``answer(n, asked)`` decides about the n-th request (from 0)."""

    def __init__(self, answer: Callable[[int, Asked], Answer]) -> None:
        self.asked: list[Asked] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                asked = _parse(self.path, self.headers["content-type"], body)
                outer.asked.append(asked)
                said = answer(len(outer.asked) - 1, asked)
                time.sleep(said.after_s)
                try:
                    self.send_response(said.status)
                    self.send_header("Content-Length", str(len(said.content) + 999 * said.cut))
                    self.end_headers()
                    self.wfile.write(said.content)
                except (BrokenPipeError, ConnectionResetError):
                    pass
                self.close_connection = said.cut

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> AudioServer:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def _parse(path: str, content_type: str, body: bytes) -> Asked:
    if content_type.startswith("application/json"):
        return Asked(path, json.loads(body))
    parser = email.parser.BytesParser(policy=email.policy.HTTP)
    message = parser.parsebytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body)
    fields: dict[str, Any] = {}
    files: dict[str, bytes] = {}
    for part in message.iter_parts():  # type: ignore[attr-defined]
        name = part.get_param("name", header="content-disposition")
        payload = part.get_payload(decode=True)
        if part.get_filename():
            files[name] = payload
        else:
            fields[name] = payload.decode()
    return Asked(path, fields, files)
