"""How the files of a split are read: from a folder, or from a store behind an address.

Training draws its streams at random over all shards. From a store each stream is therefore fetched
by one request for a part of its shard, many at a time, and kept in the cache of the machine: whole
shards would move many times as much before the first update (`tests/benchmarks/bench_store.py`
measures both).
"""

from __future__ import annotations

import hashlib
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import fsspec
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt
from tenacity.wait import wait_exponential_jitter

from soundflow.errors import UserError
from soundflow.shards.address import Url
from soundflow.shards.cache import Cache, machine_cache
from soundflow.shards.sidecar import file_checksum

ATTEMPTS = 6
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 20.0
SILENCE_S = 30.0  # a store that sends nothing for so long counts as failing
_PIECE = 8 << 20
# A request that is wrong stays wrong; 408 and 429 ask for another try.
_FINAL = (FileNotFoundError, PermissionError, ImportError, NotImplementedError, TypeError)
_FINAL_STATUS = frozenset(range(400, 500)) - {408, 429}

_log = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True)
class FileRange:
    """Some bytes of a file, or all of it.

    Attributes:
        content: what identifies the content of the whole file; another build has another.
        is_intact: compares them with their checksum.
        size: None: to the end.
    """

    name: str
    content: str
    is_intact: Callable[[bytes], bool] = field(compare=False)
    offset: int = 0
    size: int | None = None

    @property
    def end(self) -> int | None:
        return None if self.size is None else self.offset + self.size


class Store(ABC):
    """The files of one split."""

    @abstractmethod
    def read(self, name: str) -> bytes:
        """A small file that says what the others are; never from a cache.

        Raises:
            OSError: from a folder.
            UserError: from a store.
        """

    @abstractmethod
    def part(self, part: FileRange) -> bytes:
        """Some bytes of a file; errors as `read`. What comes from a store is intact."""

    @abstractmethod
    def file(self, part: FileRange) -> Path:
        """A local file of the bytes of ``part``, which is a whole file; errors as `part`."""

    def fetch(self, parts: Sequence[FileRange]) -> None:  # noqa: B027 (a folder has them all)
        """Gets parts that will be read soon, many at a time."""

    @abstractmethod
    def checksum(self, name: str, n_bytes: int) -> str | None:
        """SHA-256 of a file in hex, read piece by piece; None where it cannot be read."""


@dataclass(frozen=True)
class FolderStore(Store):
    folder: Path

    def read(self, name: str) -> bytes:
        return (self.folder / name).read_bytes()

    def part(self, part: FileRange) -> bytes:
        with (self.folder / part.name).open("rb") as file:
            file.seek(part.offset)
            return file.read(-1 if part.size is None else part.size)

    def file(self, part: FileRange) -> Path:
        return self.folder / part.name

    def checksum(self, name: str, n_bytes: int) -> str | None:
        return file_checksum(self.folder / name)


@dataclass(frozen=True)
class RemoteStore(Store):
    """Files behind an address, by fsspec, with a cache of the machine in between."""

    url: Url
    cache: Cache

    def read(self, name: str) -> bytes:
        return self._tried(name, lambda store, path: bytes(store.cat_file(path)))

    def part(self, part: FileRange) -> bytes:
        held = self._held(part)
        if held is not None:
            return held
        data = self._tried(part.name, _of_part(part))
        self.cache.put(self._key(part), data)
        return data

    def file(self, part: FileRange) -> Path:
        self.part(part)
        return self.cache.path(self._key(part))

    def fetch(self, parts: Sequence[FileRange]) -> None:
        wanted = [part for part in parts if not self.cache.path(self._key(part)).exists()]
        if len(wanted) < 2:
            return
        store, _ = _opened(self.url)
        paths = [_opened(self.url / part.name)[1] for part in wanted]
        starts, ends = [part.offset for part in wanted], [part.end for part in wanted]
        found = store.cat_ranges(paths, starts, ends, on_error="return")
        for part, data in zip(wanted, found, strict=True):
            # One that failed is tried again, and named, when it is read.
            if not isinstance(data, Exception) and part.is_intact(bytes(data)):
                self.cache.put(self._key(part), bytes(data))

    def checksum(self, name: str, n_bytes: int) -> str | None:
        digest = hashlib.sha256()
        for offset in range(0, n_bytes, _PIECE):
            size = min(_PIECE, n_bytes - offset)
            piece = FileRange(name, "", partial(_has_size, size), offset, size)
            digest.update(self._tried(name, _of_part(piece)))
        return digest.hexdigest()

    def _held(self, part: FileRange) -> bytes | None:
        key = self._key(part)
        held = self.cache.get(key)
        if held is not None and not part.is_intact(held):
            self.cache.drop(key)
            return None
        return held

    def _key(self, part: FileRange) -> str:
        return f"{self.url}/{part.name} {part.content} {part.offset}-{part.end}"

    def _tried(self, name: str, get: Callable[[Any, str], T]) -> T:
        """What ``get`` gets of a file, after failures that may pass.

        Raises:
            UserError: naming the file, if it stays so.
        """
        where = self.url / name
        tries = Retrying(
            stop=stop_after_attempt(ATTEMPTS),
            wait=wait_exponential_jitter(FIRST_WAIT_S, LONGEST_WAIT_S),
            retry=retry_if_exception(_may_pass),
            before_sleep=lambda state: _tell(where, state),
            reraise=True,
        )
        try:
            return tries(lambda: get(*_opened(where)))
        except ImportError as error:
            raise UserError(f"{where}: {error}", "install it") from error
        except FileNotFoundError as error:
            raise UserError(f"{where}: is not there", "check the address") from error
        except Exception as error:  # every protocol has exceptions of its own
            raise UserError(
                f"{where}: the store failed ({_reason(error)})",
                "check the network, the address and the credentials; then run the command again",
            ) from error


def store_of(folder: Path | Url) -> Store:
    if isinstance(folder, Path):
        return FolderStore(folder)
    return RemoteStore(folder, machine_cache())


def _has_size(size: int, data: bytes) -> bool:
    return len(data) == size


class _Differs(Exception):
    """An answer that is not what was written: cut short, or damaged on its way."""


def _of_part(part: FileRange) -> Callable[[Any, str], bytes]:
    limits = {} if part.size is None else {"start": part.offset, "end": part.end}

    def get(store: Any, path: str) -> bytes:
        data = bytes(store.cat_file(path, **limits))
        if not part.is_intact(data):
            raise _Differs(f"its answer of {len(data)} bytes differs from what was written")
        return data

    return get


def _opened(url: Url) -> tuple[Any, str]:
    """The file system of an address, one for each process and thread, and the path in it."""
    options: dict[str, Any] = {}
    if url.startswith(("http://", "https://")):
        import aiohttp

        options["client_kwargs"] = {
            "timeout": aiohttp.ClientTimeout(sock_connect=SILENCE_S, sock_read=SILENCE_S),
            "trust_env": True,  # proxies, and passwords in ~/.netrc
        }
    store, path = fsspec.url_to_fs(str(url), **options)
    return store, path


def _may_pass(error: BaseException) -> bool:
    status = getattr(error, "status", None)
    return isinstance(error, Exception) and not (
        isinstance(error, _FINAL) or status in _FINAL_STATUS
    )


def _tell(where: Url, state: RetryCallState) -> None:
    assert state.outcome is not None
    why = _reason(state.outcome.exception())
    waits = state.next_action.sleep if state.next_action else 0.0
    _log.warning("%s: %s; trying again in %.1f s", where, why, waits)


def _reason(error: BaseException | None) -> str:
    """In words without credentials: errors of other kinds may quote a whole request."""
    status = getattr(error, "status", None)
    if isinstance(status, int):
        return f"status {status}"
    words = str(error).splitlines()[:1] if isinstance(error, OSError | _Differs) else []
    return words[0] if words else type(error).__name__
