"""A bounded folder of bytes that were fetched, shared by all processes of a machine.

Least recently used entries are removed. Entries take their names by renaming, so that a reader sees
all of one or nothing; what is read is verified by the caller, who knows the checksum.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from soundflow.atomic import atomic_write
from soundflow.errors import UserError

FOLDER_VARIABLE, SIZE_VARIABLE = "SOUNDFLOW_CACHE", "SOUNDFLOW_CACHE_GB"
_DEFAULT_GB = 50.0
_KEPT_SHARE = 0.9  # after entries were removed
_LOOK_SHARE = 1 / 64  # of the limit that one process writes between two looks at the folder
_IN_USE_S = 10.0  # another process may be about to open what was used so recently


@dataclass(eq=False)
class Cache:
    """Entries by key in ``folder``, together about ``limit_bytes``.

    Every process may write 1/64 of the limit before it looks whether entries have to go.
    """

    folder: Path
    limit_bytes: int
    _written: int | None = None  # since the last look; None: not looked yet

    def path(self, key: str) -> Path:
        """Where an entry is, or would be."""
        name = hashlib.sha256(key.encode()).hexdigest()
        return self.folder / name[:2] / name[2:]

    def get(self, key: str) -> bytes | None:
        path = self.path(key)
        try:
            data = path.read_bytes()
        except FileNotFoundError:  # never there, or another process has just removed it
            return None
        with suppress(FileNotFoundError, PermissionError):  # removed now, or of another user
            os.utime(path)
        return data

    def put(self, key: str, data: bytes) -> None:
        """Adds an entry.

        Raises:
            UserError: if the disk is full or the folder cannot be written.
        """
        try:
            with atomic_write(self.path(key), synced=False) as file:
                file.write(data)
        except UserError as error:
            raise UserError(
                f"cache of data from a store: {error.message}",
                f"set {FOLDER_VARIABLE} to a folder with space, or {SIZE_VARIABLE} to less than "
                f"{self.limit_bytes / 1e9:g}",
            ) from error
        self._written = None if self._written is None else self._written + len(data)
        if self._written is None or self._written > _LOOK_SHARE * self.limit_bytes:
            self._written = 0
            self._make_room()

    def drop(self, key: str) -> None:
        """Removes a damaged entry."""
        self.path(key).unlink(missing_ok=True)

    def _make_room(self) -> None:
        with (self.folder / ".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return  # another process is at it
            entries = sorted(self._entries())
            excess = sum(size for _, size, _ in entries) - self.limit_bytes
            if excess <= 0:
                return
            excess += int((1 - _KEPT_SHARE) * self.limit_bytes)
            newest = time.time() - _IN_USE_S
            for used, size, path in entries:
                if excess <= 0 or used > newest:
                    break
                with suppress(FileNotFoundError):
                    path.unlink()
                excess -= size

    def _entries(self) -> list[tuple[float, int, Path]]:
        """When each was used last, its bytes, its path."""
        found = []
        for folder in self.folder.glob("[0-9a-f][0-9a-f]"):
            with os.scandir(folder) as listed:
                for entry in listed:
                    with suppress(FileNotFoundError):
                        about = entry.stat()
                        found.append((about.st_mtime, about.st_size, Path(entry.path)))
        return found


def machine_cache() -> Cache:
    """The cache of this machine: its place and size are set in the environment, not in recipes.

    Raises:
        UserError: if the size in the environment is no positive number.
    """
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = os.environ.get(FOLDER_VARIABLE) or Path(base) / "soundflow" / "data"
    size = os.environ.get(SIZE_VARIABLE, str(_DEFAULT_GB))
    try:
        limit = int(float(size) * 1e9)
    except (ValueError, OverflowError):
        limit = 0
    if limit <= 0:
        raise UserError(
            f"{SIZE_VARIABLE}={size}: expected gigabytes, more than 0", "for example 50"
        )
    return Cache(Path(folder), limit)
