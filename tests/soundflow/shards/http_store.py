"""A store on this machine: files over HTTP with ranges, and the ways in which stores fail."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@dataclass
class HttpStore:
    """What the server does, and what it was asked.

    Attributes:
        failures: how many requests for a file whose name contains ``on`` are still to fail.
        status: the answer to those; 0: an answer that is cut short; -1: one with a byte changed.
        delay_s: before every answer.
        ranges: whether parts of files are served.
        asked: every request: path and range.
    """

    url: str
    failures: int = 0
    on: str = ""
    status: int = 503
    delay_s: float = 0.0
    ranges: bool = True
    asked: list[tuple[str, str]] = field(default_factory=list)
    sent: int = 0  # bytes
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, path: str, wanted: str) -> bool:
        """Notes a request; whether it is to fail."""
        with self._lock:
            self.asked.append((path, wanted))
            fails = self.failures > 0 and self.on in path
            self.failures -= fails
        return fails


@contextmanager
def http_store(folder: Path) -> Iterator[HttpStore]:
    """Serves ``folder`` while the block runs."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            wanted = self.headers.get("Range", "")
            fails = store.take(self.path, wanted)
            time.sleep(store.delay_s)
            path = folder / self.path.lstrip("/")
            if fails and store.status > 0:
                return self._answer(store.status, b"")
            if not path.is_file():
                return self._answer(404, b"")
            data, found = path.read_bytes(), re.fullmatch(r"bytes=(\d+)-(\d*)", wanted)
            status = 200
            if found and store.ranges:
                first, last = int(found[1]), int(found[2] or len(data) - 1)
                status, data = 206, data[first : last + 1]
            if fails and store.status < 0:
                data = bytes([data[0] ^ 1]) + data[1:]
            return self._answer(status, data, cut=fails and store.status == 0)

        def _answer(self, status: int, data: bytes, cut: bool = False) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[: len(data) // 2] if cut else data)
            store.sent += len(data)
            self.close_connection = cut

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    store = HttpStore(f"http://127.0.0.1:{server.server_address[1]}")
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield store
    finally:
        server.shutdown()
        server.server_close()
