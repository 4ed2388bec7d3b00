"""Calls to a server with retries, time limits and counts.

::

    call ─▶ a free slot ─▶ request ─▶ answer ─▶ accept ─▶ value
                             ▲                    │
                             └── back-off, jitter ┘  (busy, broken or unusable answer)
                                 until the retries or the item's time limit are used up

httpx sends and tenacity retries. This module adds what long runs need: every wait is bounded (one
request has ``timeout_s``, an item with all its retries ``item_limit_s`` from the moment it holds a
slot), everything is counted, and a server that cannot be reached is an error of its own, so that no
result depends on when the server was down.
"""

from __future__ import annotations

import asyncio
import dataclasses
import email.utils
import os
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx
import pydantic.dataclasses
import tenacity
from pydantic import NonNegativeInt, PositiveFloat, PositiveInt

from soundflow.config.settings import SETTINGS
from soundflow.errors import UserError

T = TypeVar("T")

RETRIED_STATUS = frozenset({408, 409, 425, 429})
MISCONFIGURED_STATUS = frozenset({401, 403, 404, 405})
# Failures that say "the server is not there", as opposed to "this item does not work".
DOWN_KINDS = frozenset({"connection", "timeout", "time_limit", "server_error"})
MAX_BACKOFF_S = 30.0
MAX_ANSWER_BYTES = 64 * 2**20


@pydantic.dataclasses.dataclass(frozen=True, config=SETTINGS)
class Endpoint:
    """The address of a server, and its time limits and retries.

    Attributes:
        api_key_env: the environment variable that holds the key (never the key itself).
        timeout_s: limit of one request.
        item_limit_s: limit of an item with all its retries.
        gone_after: after this many consecutive items that fail because of the server, it counts as
            gone.
    """

    base_url: str
    api_key_env: str = ""
    timeout_s: PositiveFloat = 60.0
    item_limit_s: PositiveFloat = 180.0
    retries: NonNegativeInt = 4
    concurrency: PositiveInt = 8
    backoff_s: PositiveFloat = 0.5
    gone_after: PositiveInt = 16

    def __post_init__(self) -> None:
        url = urlsplit(self.base_url)
        if url.scheme not in ("http", "https") or not url.hostname:
            raise ValueError(f"base_url must be http(s)://host[:port]/path, got {self.base_url!r}")


@dataclass(frozen=True)
class Form:
    """A request body as multipart/form-data: fields, and files as (file name, bytes, type)."""

    fields: dict[str, str]
    files: dict[str, tuple[str, bytes, str]] = field(default_factory=dict)


Body = dict[str, Any] | Form


class CallFailure(Exception):
    """An item without a usable answer of the server after all retries.

    ``kind`` is one of connection (cut in the middle), timeout, time_limit, server_error, busy,
    refused (another 4xx), or the kind of a `BadAnswer`.
    """

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind = kind
        self.detail = detail

    def __reduce__(self) -> tuple[type[CallFailure], tuple[str, str]]:
        return type(self), (self.kind, self.detail)


class ServerGone(UserError):
    """A server that the recipe names has stopped responding.

    No item is dropped for it: the result of a build must not depend on when a server was down.

    Args:
        server: its base URL.
        detail: the outcome of the last call.
    """

    def __init__(self, server: str, detail: str) -> None:
        super().__init__(
            f"{server} has stopped answering: {detail}",
            "start the server again and run the same command; what is finished is kept",
        )
        self.server = server
        self.detail = detail

    def __reduce__(self) -> tuple[type[ServerGone], tuple[str, str]]:
        return type(self), (self.server, self.detail)


class BadAnswer(Exception):
    """What `accept` raises for an answer that arrived but cannot be used; asked for again."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind = kind
        self.detail = detail


@dataclass(frozen=True)
class CallCounts:
    """Counts of the calls to one server."""

    items: int = 0
    requests: int = 0
    retries: int = 0
    cache_hits: int = 0
    failures: dict[str, int] = field(default_factory=dict)


class _Unreachable(CallFailure):
    """Asking again is of no use: nothing listens there, or the account has no quota left."""


class _Again(Exception):
    """An attempt that failed and may be repeated, after ``after_s`` where the server says so."""

    def __init__(self, failure: CallFailure, after_s: float | None = None) -> None:
        super().__init__(str(failure))
        self.failure = failure
        self.after_s = after_s


class EndpointCaller:
    """Posts JSON, or forms, to one endpoint; for use from any thread of one process.

    The calls run on an event loop of their own thread: only there can a request be cut off in the
    middle of a read.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.counts = CallCounts()
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._client: httpx.AsyncClient | None = None
        self._slots = asyncio.Semaphore(endpoint.concurrency)
        self._failed_in_a_row = 0
        self._ever_answered = False

    def call(self, path: str, body: Body, accept: Callable[[bytes], T]) -> T:
        """Posts ``body`` until ``accept`` takes an answer.

        Raises:
            CallFailure: when retries or time are used up; counted.
            ServerGone: when the server cannot be reached, or has failed many items in a row.
            UserError: when the endpoint refuses the very first calls (wrong key, URL or model).
        """
        return self.submit(path, body, accept).result()

    def submit(self, path: str, body: Body, accept: Callable[[bytes], T]) -> Future[T]:
        """As `call`, without waiting for the answer."""
        work = self._item(path, body, accept)
        return asyncio.run_coroutine_threadsafe(work, self._running_loop())

    def close(self) -> None:
        """Closes the connections and ends the thread; calls still under way are cancelled."""
        with self._lock:
            loop, self._loop = self._loop, None
            client, self._client = self._client, None
        if loop is None:
            return
        if client is not None:
            asyncio.run_coroutine_threadsafe(client.aclose(), loop).result(timeout=10)
        loop.call_soon_threadsafe(loop.stop)

    def count(self, **more: int) -> None:
        """Adds to the integer counters."""
        with self._lock:
            changed = {name: getattr(self.counts, name) + n for name, n in more.items()}
            self.counts = dataclasses.replace(self.counts, **changed)

    async def _item(self, path: str, body: Body, accept: Callable[[bytes], T]) -> T:
        async with self._slots:
            if self._failed_in_a_row >= self.endpoint.gone_after:
                failed = f"the last {self._failed_in_a_row} calls failed"
                raise ServerGone(self.endpoint.base_url, failed)
            self.count(items=1)
            try:
                value = await self._within_limit(path, body, accept)
            except CallFailure as failure:
                self._note_failure(failure)
                if isinstance(failure, _Unreachable):
                    raise ServerGone(self.endpoint.base_url, failure.detail) from failure
                raise
            self._failed_in_a_row = 0
            return value

    async def _within_limit(self, path: str, body: Body, accept: Callable[[bytes], T]) -> T:
        limit_s = self.endpoint.item_limit_s
        attempts = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception_type(_Again),
            stop=tenacity.stop_after_attempt(self.endpoint.retries + 1)
            | tenacity.stop_before_delay(limit_s),
            wait=self._wait_s,
            before_sleep=lambda _: self.count(retries=1),
            reraise=True,
        )
        try:
            async with asyncio.timeout(limit_s):
                return await attempts(self._attempt, path, body, accept)
        except _Again as last:
            raise last.failure from None
        except TimeoutError:
            raise CallFailure("time_limit", f"no usable answer within {limit_s:g} s") from None

    def _wait_s(self, state: tenacity.RetryCallState) -> float:
        """The wait that the server asks for, else exponential back-off with jitter."""
        last = state.outcome.exception() if state.outcome else None
        if isinstance(last, _Again) and last.after_s is not None:
            return last.after_s
        ceiling_s = min(self.endpoint.backoff_s * 2.0 ** (state.attempt_number - 1), MAX_BACKOFF_S)
        return float(tenacity.wait_random(ceiling_s / 2, ceiling_s)(state))

    async def _attempt(self, path: str, body: Body, accept: Callable[[bytes], T]) -> T:
        self.count(requests=1)
        try:
            async with (
                asyncio.timeout(self.endpoint.timeout_s),
                self._http().stream("POST", path, **_content(body)) as answer,
            ):
                content = await _read(answer)
        except TimeoutError:
            detail = f"no answer within {self.endpoint.timeout_s:g} s"
            raise _Again(CallFailure("timeout", detail)) from None
        except httpx.HTTPError as error:
            kind = _Unreachable if isinstance(error, httpx.ConnectError) else CallFailure
            detail = f"{type(error).__name__} {error}".strip()
            raise _Again(kind("connection", detail)) from error
        if answer.status_code != 200:
            raise self._refusal(answer, content)
        self._ever_answered = True
        try:
            return accept(content)
        except BadAnswer as bad:
            raise _Again(CallFailure(bad.kind, bad.detail)) from bad

    def _refusal(self, answer: httpx.Response, content: bytes) -> Exception:
        status = answer.status_code
        detail = f"HTTP {status}: {content[:160].decode('utf-8', 'replace').strip()}"
        if status in MISCONFIGURED_STATUS and not self._ever_answered:
            return UserError(
                f"{answer.url} answers {detail}",
                "check base_url, model and the variable that api_key_env names",
            )
        if b"insufficient_quota" in content:  # 429 too, but no wait ends it
            return _Unreachable("quota", detail)
        if status in RETRIED_STATUS or status >= 500:
            kind = "busy" if status in RETRIED_STATUS else "server_error"
            after_s = _retry_after_s(answer.headers.get("retry-after"))
            return _Again(CallFailure(kind, detail), after_s)
        return CallFailure("refused", detail)

    def _note_failure(self, failure: CallFailure) -> None:
        with self._lock:
            failures = Counter(self.counts.failures)
            failures[failure.kind] += 1
            self.counts = dataclasses.replace(self.counts, failures=dict(failures))
        self._failed_in_a_row = self._failed_in_a_row + 1 if failure.kind in DOWN_KINDS else 0

    def _http(self) -> httpx.AsyncClient:
        if self._client is None:
            key = os.environ.get(self.endpoint.api_key_env, "") if self.endpoint.api_key_env else ""
            self._client = httpx.AsyncClient(
                base_url=self.endpoint.base_url.rstrip("/") + "/",
                headers={"Authorization": f"Bearer {key}"} if key else {},
                timeout=self.endpoint.timeout_s,
                limits=httpx.Limits(max_connections=self.endpoint.concurrency),
            )
        return self._client

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(
                    target=self._loop.run_forever, name="endpoint-calls", daemon=True
                ).start()
            return self._loop


def _content(body: Body) -> dict[str, Any]:
    if isinstance(body, Form):
        # A field sent as a nameless file makes httpx choose multipart even without any file.
        fields = {name: (None, value.encode()) for name, value in body.fields.items()}
        return {"files": {**fields, **body.files}}
    return {"json": body}


async def _read(answer: httpx.Response) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in answer.aiter_bytes():
        size += len(part)
        if size > MAX_ANSWER_BYTES:
            raise CallFailure("refused", f"an answer of over {MAX_ANSWER_BYTES} bytes")
        parts.append(part)
    return b"".join(parts)


def _retry_after_s(value: str | None) -> float | None:
    """The Retry-After header (RFC 9110 section 10.2.3): seconds or an HTTP date."""
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        when = email.utils.parsedate_to_datetime(value)
    except (TypeError, ValueError):
        return None
    return max(0.0, when.timestamp() - time.time())
