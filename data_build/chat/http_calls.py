"""Calls to a server that may be slow, busy, wrong or gone: retried, limited, counted, never hung.

::

    post ─▶ a free slot ─▶ request ─▶ answer ─▶ accept ─▶ value
                             ▲                    │
                             └── back-off, jitter ┘  (busy, broken or unusable answer)
                                 until the retries or the item's time limit are used up

Every wait has an end: one request has ``timeout_s``, an item with all its retries ``item_limit_s``
from the moment it holds a slot. An endpoint that fails many items in a row is left alone for a
while, so that a dead server costs a build minutes and not days.
"""

from __future__ import annotations

import asyncio
import dataclasses
import email.utils
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx

from data_build.drops import Drop, ServerGone
from soundflow.errors import UserError

T = TypeVar("T")

RETRIED_STATUS = frozenset({408, 409, 425, 429})
MISCONFIGURED_STATUS = frozenset({401, 403, 404, 405})
# Failures that say "the server is not there", as opposed to "this item does not work".
DOWN_KINDS = frozenset({"connection", "timeout", "time_limit", "server_error"})
# Failures after which nothing more can be asked: the build stops until the server is back.
GONE_KINDS = frozenset({"connection", "endpoint_down"})
MAX_BACKOFF_S = 30.0
MAX_ANSWER_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Endpoint:
    """Where a server is, and how patient to be with it.

    ``api_key_env`` names the environment variable that holds the key (never the key itself).
    ``breaker_items`` failures in a row make the following items fail at once for
    ``breaker_rest_s``.
    """

    base_url: str
    api_key_env: str = ""
    timeout_s: float = 60.0
    item_limit_s: float = 180.0
    retries: int = 4
    concurrency: int = 8
    backoff_s: float = 0.5
    breaker_items: int = 16
    breaker_rest_s: float = 30.0

    def __post_init__(self) -> None:
        url = urlsplit(self.base_url)
        if url.scheme not in ("http", "https") or not url.hostname:
            raise ValueError(f"base_url must be http(s)://host[:port]/path, got {self.base_url!r}")
        for name in ("timeout_s", "item_limit_s", "backoff_s", "concurrency", "breaker_items"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        for name in ("retries", "breaker_rest_s"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")


@dataclass(frozen=True)
class Form:
    """A request body as multipart/form-data: fields, and files as (file name, bytes, type)."""

    fields: dict[str, str]
    files: dict[str, tuple[str, bytes, str]] = field(default_factory=dict)


Body = dict[str, Any] | Form


class CallFailure(Exception):
    """One item that the server did not answer usefully, after all retries.

    ``kind`` is one of timeout, time_limit, server_error, busy, refused (another 4xx), or the kind
    of a `BadAnswer`.
    """

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind = kind
        self.detail = detail

    def __reduce__(self) -> tuple[type[CallFailure], tuple[str, str]]:
        return type(self), (self.kind, self.detail)

    def drop(self, step: str, item: str) -> Drop:
        """The failure as a dropped item of the build."""
        return Drop(step=step, item=item, reason=f"{self.kind}: {self.detail}")


class BadAnswer(Exception):
    """What `accept` raises for an answer that arrived but cannot be used; asked for again."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind = kind
        self.detail = detail


@dataclass(frozen=True)
class CallCounts:
    """What the calls of one client came to, for the build's summary."""

    items: int = 0
    requests: int = 0
    retries: int = 0
    cache_hits: int = 0
    failures: dict[str, int] = field(default_factory=dict)

    def __add__(self, other: CallCounts) -> CallCounts:
        failures = Counter(self.failures) + Counter(other.failures)
        return CallCounts(
            self.items + other.items,
            self.requests + other.requests,
            self.retries + other.retries,
            self.cache_hits + other.cache_hits,
            dict(sorted(failures.items())),
        )


class _Refused(Exception):
    def __init__(self, kind: str, detail: str, retry: bool, after_s: float | None) -> None:
        super().__init__(detail)
        self.failure = CallFailure(kind, detail)
        self.retry = retry
        self.after_s = after_s


class EndpointCaller:
    """Posts JSON, or forms, to one endpoint from any thread.

    The calls run on an event loop of their own thread: only there can a request be cut off in the
    middle of a read. Pickled as its configuration; every process opens its own connections.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.counts = CallCounts()
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._client: httpx.AsyncClient | None = None
        self._slots = asyncio.Semaphore(endpoint.concurrency)
        self._jitter = random.Random()
        self._failed_in_a_row = 0
        self._rest_until = 0.0
        self._ever_answered = False

    def __reduce__(self) -> tuple[type[EndpointCaller], tuple[Endpoint]]:
        return type(self), (self.endpoint,)

    def start(self, work: Callable[[], Awaitable[T]]) -> Future[T]:
        """Begins ``work`` on the loop of this caller."""
        if os.getpid() != self._pid:
            raise RuntimeError("an endpoint caller does not survive a fork; make one per process")

        async def run() -> T:
            return await work()

        return asyncio.run_coroutine_threadsafe(run(), self._running_loop())

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

    async def post(self, path: str, body: Body, accept: Callable[[bytes], T]) -> T:
        """Posts ``body`` until ``accept`` takes an answer. Runs on the caller's loop.

        Raises:
            CallFailure: when retries or time are used up; counted.
            ServerGone: when the server cannot be reached at all; counted.
            UserError: when the endpoint refuses the very first calls (wrong key, URL or model).
        """
        async with self._slots:
            self.count(items=1)
            try:
                if time.monotonic() < self._rest_until:
                    raise CallFailure("endpoint_down", f"{self.endpoint.base_url} is left to rest")
                value = await self._within_limit(path, body, accept)
            except CallFailure as failure:
                self._note_failure(failure)
                if failure.kind in GONE_KINDS:
                    raise ServerGone(self.endpoint.base_url, failure.detail) from failure
                raise
            self._failed_in_a_row = 0
            return value

    async def _within_limit(self, path: str, body: Body, accept: Callable[[bytes], T]) -> T:
        limit_s = self.endpoint.item_limit_s
        deadline = asyncio.get_running_loop().time() + limit_s
        try:
            async with asyncio.timeout_at(deadline):
                return await self._attempts(path, body, accept, deadline)
        except TimeoutError:
            raise CallFailure("time_limit", f"no usable answer within {limit_s:g} s") from None

    async def _attempts(
        self, path: str, body: Body, accept: Callable[[bytes], T], deadline: float
    ) -> T:
        for attempt in range(self.endpoint.retries + 1):
            if attempt:
                self.count(retries=1)
            after_s: float | None = None
            try:
                return accept(await self._request(path, body))
            except BadAnswer as bad:
                failure = CallFailure(bad.kind, bad.detail)
            except _Refused as refused:
                failure, after_s = refused.failure, refused.after_s
                if not refused.retry:
                    raise failure from None
            wait_s = self._backoff_s(attempt) if after_s is None else after_s
            if attempt == self.endpoint.retries:
                break
            if asyncio.get_running_loop().time() + wait_s >= deadline:
                detail = f"{failure.detail}; waiting {wait_s:.1f} s more exceeds the item's limit"
                raise CallFailure(failure.kind, detail)
            await asyncio.sleep(wait_s)
        raise failure

    def _backoff_s(self, attempt: int) -> float:
        """Exponential back-off with jitter: only timing depends on the draw, never data."""
        ceiling_s = min(self.endpoint.backoff_s * 2.0**attempt, MAX_BACKOFF_S)
        return ceiling_s * self._jitter.uniform(0.5, 1.0)

    async def _request(self, path: str, body: Body) -> bytes:
        self.count(requests=1)
        try:
            async with asyncio.timeout(self.endpoint.timeout_s):
                async with self._http().stream("POST", path, **_content(body)) as answer:
                    content = await _read(answer)
        except TimeoutError:
            detail = f"no answer within {self.endpoint.timeout_s:g} s"
            raise _Refused("timeout", detail, True, None) from None
        except httpx.HTTPError as error:
            detail = f"{type(error).__name__} {error}".strip()
            raise _Refused("connection", detail, True, None) from error
        if answer.status_code == 200:
            self._ever_answered = True
            return content
        raise self._refusal(answer, content)

    def _refusal(self, answer: httpx.Response, content: bytes) -> Exception:
        status = answer.status_code
        detail = f"HTTP {status}: {content[:160].decode('utf-8', 'replace').strip()}"
        if status in MISCONFIGURED_STATUS and not self._ever_answered:
            return UserError(
                f"{answer.url} answers {detail}",
                "check base_url, model and the variable that api_key_env names",
            )
        after_s = _retry_after_s(answer.headers.get("retry-after"))
        if status in RETRIED_STATUS:
            return _Refused("busy", detail, True, after_s)
        if status >= 500:
            return _Refused("server_error", detail, True, after_s)
        return _Refused("refused", detail, False, None)

    def _note_failure(self, failure: CallFailure) -> None:
        with self._lock:
            failures = Counter(self.counts.failures)
            failures[failure.kind] += 1
            self.counts = dataclasses.replace(self.counts, failures=dict(failures))
        if failure.kind in DOWN_KINDS:
            self._failed_in_a_row += 1
            if self._failed_in_a_row >= self.endpoint.breaker_items:
                self._rest_until = time.monotonic() + self.endpoint.breaker_rest_s
        elif failure.kind != "endpoint_down":
            self._failed_in_a_row = 0

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
            raise _Refused("refused", f"an answer of over {MAX_ANSWER_BYTES} bytes", False, None)
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
